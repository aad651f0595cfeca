"""`dayz-relay` with alerts that begin and end within seconds."""

import sys
from dataclasses import replace

from services.cli.main import main
from services.uplink.reporting.alerts import conditions, sender
from services.uplink.reporting.alerts.conditions import RULES, Condition

SILENT_AFTER_S = 8.0  # the mod's last contact is noted each 5 s

if __name__ == "__main__":
    RULES[Condition.SILENT] = replace(
        RULES[Condition.SILENT],
        begins=lambda seen, _: (seen.silent_s or 0.0) > SILENT_AFTER_S,
        begins_for_s=1.0,
        ends=lambda seen: seen.silent_s is not None and seen.silent_s < SILENT_AFTER_S - 1,
        ends_for_s=2.0,
    )
    assert conditions.RULES is RULES
    sender.DEFAULT_TIMES = sender.AlertTimes(look_every_s=0.2, gather_s=0.2, message_every_s=0.2)
    sys.exit(main())
