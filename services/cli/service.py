"""`python -m services.cli.service modapi relay.toml`: a service as `up` starts it, without the command line.

Typer would cost each service 3 MiB. Exit codes are those of `dayz-relay modapi`.
"""

import sys
from pathlib import Path

from services.cli.settings_of import prepared
from services.relay.protocol.errors import ConfigError, RelayError, StoreRefused


def main(name: str, config: Path) -> int:
    """Run one service. `up` has shown the warnings about its settings."""
    try:
        settings, file = prepared(name, config, warned=True)
        if name == "modapi":
            from services.modapi.main import run
        else:
            from services.uplink.main import run
        run(settings, file)
    except RelayError as error:
        from services.cli.terminal import complain

        for line in str(error).splitlines():
            complain(line)
        return 2 if isinstance(error, ConfigError | StoreRefused) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
