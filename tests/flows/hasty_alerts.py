"""`dayz-relay uplink` with alerts that begin and end within seconds."""

import sys
from dataclasses import replace
from pathlib import Path

from services.cli.settings_of import file_of, loaded_from
from services.relay.service import lifecycle, logs
from services.uplink.main import serve
from services.uplink.reporting.alerts.conditions import RULES, Condition
from services.uplink.reporting.alerts.sender import AlertTimes

SILENT_AFTER_S = 8.0  # the mod's last contact is noted each 5 s
SILENT = replace(
    RULES[Condition.SILENT],
    begins=lambda seen, _: (seen.silent_s or 0.0) > SILENT_AFTER_S,
    begins_for_s=0.2,
    ends=lambda seen: seen.silent_s is not None and seen.silent_s < SILENT_AFTER_S - 1,
    ends_for_s=0.2,
)
TIMES = AlertTimes(
    check_every_s=0.2, gather_s=0.2, message_every_s=0.2, rules={**RULES, Condition.SILENT: SILENT}
)

if __name__ == "__main__":
    config = Path(sys.argv[-1])
    settings = loaded_from(config).settings
    logs.configure("uplink", settings.log.format)
    lifecycle.run(serve(settings, file_of(config), TIMES))
