"""`python -m services.cli.service modapi relay.toml`: a service as `up` starts it, without the command line.

Typer would cost each service 3 MiB. Exit codes are those of `dayz-relay modapi`.
"""

import logging
import sys
from pathlib import Path

from services.cli.settings_of import file_of, loaded_from, warnings_of
from services.relay.protocol.errors import RelayError
from services.relay.service import logs

logger = logging.getLogger(__name__)


def run(name: str, config: Path, *, warned: bool = False) -> None:
    """Run one service. `warned`: `up` has shown the warnings about its settings. Raises RelayError."""
    loaded = loaded_from(config)
    logs.configure(name, loaded.settings.log.format)
    for warning in () if warned else warnings_of(loaded):
        logger.warning("%s", warning)
    if name == "modapi":
        from services.modapi.main import run
    else:
        from services.uplink.main import run
    run(loaded.settings, file_of(config))


def main(name: str, config: Path) -> int:
    """Run one service of `up`; its exit code."""
    try:
        run(name, config, warned=True)
    except RelayError as error:
        from services.cli.terminal import failed

        return failed(error)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
