"""`dayz-relay` with handlers that fail with an error that has all secrets, for the search for secrets."""

import sys
from typing import Any, NoReturn

from services.cli.main import main
from services.modapi.commands import ModCommands
from services.modapi.events import EventIntake
from services.uplink.requests.handler import RequestHandler

WORD = "fault-put-in-by-a-test"


def spill(self: Any, *args: Any, **more: Any) -> NoReturn:
    import os
    from pathlib import Path

    config = Path(sys.argv[sys.argv.index("--config") + 1]).read_text()
    raise ValueError(f"{WORD}: {config} {args!r} {more!r} {dict(os.environ)!r}")


if __name__ == "__main__":
    for kind, name in (
        (EventIntake, "take"),
        (ModCommands, "poll_answer"),
        (ModCommands, "take_result"),
        (RequestHandler, "take"),
    ):
        assert hasattr(kind, name), name
        setattr(kind, name, spill)
    sys.exit(main())
