"""The process that stays of `dayz-relay up`: it keeps the programs of one relay alive.

`up` checks everything first, and for that loads the command line, the settings and their libraries, 50 MiB.
Then it becomes this process, which loads none of them.
"""

import os
import sys
from pathlib import Path
from typing import NamedTuple


class Checked(NamedTuple):
    """What `up` has found to be in order. `brings_store`: the store is its own, in the folder `data`, and
    `server` is its program; None: the embedded Valkey."""

    config: Path
    data: Path
    log_format: str
    brings_store: bool
    server: Path | None


def become(checked: Checked) -> int:
    """Replace this process by the supervisor. On Windows, which cannot, this process supervises.

    Returns the exit code, if it returns.
    """
    if sys.platform == "win32":
        from services.cli.keep_alive import run

        return run(checked)
    sys.stdout.flush()
    words = [str(value or "") for value in checked]  # none is secret
    # -P: no file of the working folder takes the place of a module.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "services.cli.supervisor", *words])


def main(config: str, data: str, log_format: str, brings_store: str, server: str) -> int:
    # asyncio loads OpenSSL where it can: 4 MiB that this process never uses.
    sys.modules["ssl"] = None  # type: ignore[assignment]
    from services.cli.keep_alive import run
    from services.relay.protocol.errors import ConfigError

    store = bool(brings_store), Path(server) if server else None
    try:
        return run(Checked(Path(config), Path(data), log_format, *store))
    except ConfigError as error:
        from services.cli.terminal import failed

        return failed(error)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
