"""A store of the user's own, `[redis] server`, that `up` runs on a loopback port: the way on Windows.

Everybody on the machine can reach a port, so the store asks for a password, made anew at each start. Both
are in a file of settings in the data folder, where the commands of the same user find them.
"""

import os
import re
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from services.cli import private_files
from services.relay.protocol.errors import ConfigError

CONF = "store.conf"
LOG = "store.log"
NAMES = ("redis-server", "valkey-server")
FOLDERS = os.pathsep.join(("redis", "valkey", "."))
"""Where a server is looked for in the folder in which `up` runs, when the settings name none."""
NEEDED = sys.platform == "win32"
"""Whether there is no embedded Valkey for this system."""

_ADDRESS = re.compile(r"port (\d+)\nrequirepass (\S+)\n")


def find_server(configured: str | None, needed: bool = NEEDED) -> Path | None:
    """The program to run; None: the embedded Valkey. Raises ConfigError if there is no such program."""
    if configured is not None:
        found = shutil.which(configured)
        if found is None:
            raise ConfigError(f"redis.server: {configured} is no program: name redis-server or valkey-server")
        return Path(found).absolute()
    if not needed:
        return None
    for name in NAMES:
        if found := shutil.which(name, path=FOLDERS) or shutil.which(name):
            return Path(found).absolute()
    raise ConfigError(
        "there is no redis-server.exe in this folder, in its folder redis, or in PATH: unpack a Redis 7 or"
        " newer for Windows into the folder redis, or set server under [redis] in relay.toml"
    )


def write_conf(folder: Path, settings: Mapping[str, str]) -> str:
    """Writes the settings of the next run; its url."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    lines = [
        "bind 127.0.0.1",
        f"port {port}",
        f"requirepass {os.urandom(32).hex()}",
        "dir .",  # the store runs in this folder: a path of Windows would have to be written in another way
        f"logfile {LOG}",
        *(f"{name} {value}" if value else f'{name} ""' for name, value in settings.items()),
    ]
    text = "".join(f"{line}\n" for line in lines)
    private_files.replace(folder / CONF, text.encode())
    found = url(folder)
    assert found
    return found


def url(folder: Path) -> str | None:
    """Where the store of `folder` listens; None: none runs there on a port."""
    try:
        found = _ADDRESS.search((folder / CONF).read_text("ascii", "replace"))
    except OSError:
        return None
    return f"redis://:{found[2]}@127.0.0.1:{found[1]}" if found else None


def clear_up(folder: Path) -> None:
    """Forgets where the store listened: it has ended."""
    (folder / CONF).unlink(missing_ok=True)
