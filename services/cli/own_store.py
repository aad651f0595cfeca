"""The store that `up` brings along, its data in a folder. Which server, and where: store_place.py.

The binary is run directly, with the durability that the relay requires. One `up` at a time may use a
folder; a store that a killed run left behind is ended before its data is opened again.
"""

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from services.cli import append_only_files, private_files, store_place
from services.cli.supervise import Program
from services.relay.protocol.errors import ConfigError, RelayError

READY_WITHIN_S = 10.0
GONE_WITHIN_S = 10.0
ANSWERS_WITHIN_S = 1.0

SETTINGS = {
    # Its own timers ten times a second cost as much as one server's events. Nothing waits for them.
    "hz": "2",
    # Accepted means delivered: each batch is on disk before the mod has its answer.
    "appendonly": "yes",
    "appendfsync": "always",
    "save": "",
    "maxmemory-policy": "noeviction",
    "aof-load-truncated": "yes",
}

logger = logging.getLogger(__name__)


def lock(folder: Path) -> int:
    """Hold `folder` (made if missing, for this user only) as long as the file that is returned is open.

    Raises ConfigError if another `up` holds it.
    """
    try:
        held = private_files.lock(folder / "lock")
    except OSError as error:
        raise ConfigError(f"--data {folder}: cannot be used: {error.strerror}") from error
    if held is None:
        raise ConfigError(f"--data {folder}: another dayz-relay runs there: stop it first")
    return held


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold `folder`, as `lock` does. At the end forget where its store listened."""
    held = lock(folder)
    try:
        yield
    finally:
        with suppress(OSError):
            (folder / store_place.CONF).unlink()
        os.close(held)


def url(folder: Path) -> str | None:
    """Where the store of a running `up` on `folder` listens; None: none runs there."""
    return next(iter(store_place.urls(folder)), None)


def prepare(folder: Path, server: Path | None = None) -> tuple[Program, str]:
    """The store on `folder`, ready when it answers, and its url, which is a secret. Hold the lock.

    `server` None: the embedded Valkey. Ends an orphan first, and mends what a power cut has left of the
    files. Raises RelayError if it cannot: ConfigError if no restart can mend that.
    """
    folder = folder.resolve()
    for left in store_place.urls(folder):
        # Any program may have the port now.
        with suppress(ConfigError) if left.startswith("redis:") else nullcontext():
            end(left)
    try:
        for done in append_only_files.mend(folder):
            logger.warning("%s", done)
        words, url = store_place.choose(folder, SETTINGS, server)
    except OSError as error:  # no ConfigError: with room on the disk the next start can do it
        raise RelayError(f"--data {folder}: cannot be used: {error.strerror}") from error
    program = Program(
        server.stem if server else "valkey",
        (str(server or store_place.embedded()), *words),
        os.environ,
        ready=lambda: _wait_until_it_answers(url),
        mend=lambda failed: _mended(folder, failed),
        folder=folder,
        end=(lambda: end(url)) if server else None,  # Windows has no signal for it
    )
    return program, url


def _mended(folder: Path, failed: bool) -> list[str]:
    """What to log before the store is started again. Raises ConfigError for files that cannot be mended."""
    try:
        full = append_only_files.full_disk(folder) if failed else ""
        return [*append_only_files.mend(folder, thorough=failed), *([full] if full else [])]
    except OSError as error:  # most often for lack of room: it is tried again, as the start itself is
        return [f"--data {folder}: cannot be used: {error.strerror}"]


def end(url: str) -> None:
    """Shuts down the store that listens at `url`, if there is one, and waits until it is gone.

    Raises ConfigError if it does not end.
    """
    try:
        answer = _called(url, "SHUTDOWN", GONE_WITHIN_S).decode(errors="replace").strip()
    except TimeoutError:
        answer = "no answer"
    except OSError:
        return  # it was never there, or has ended before it could answer
    if answer and not answer.startswith(("-NOAUTH", "-WRONGPASS", "-ERR AUTH")):
        raise ConfigError(f"the store of an earlier run does not end ({answer}): end it yourself")


async def _wait_until_it_answers(url: str) -> None:
    """Gives up after READY_WITHIN_S: the services wait for a store that takes longer to load."""
    with suppress(TimeoutError):
        async with asyncio.timeout(READY_WITHIN_S):
            # In a thread, which closes its connection also when nobody waits for the answer any more.
            while True:
                if await asyncio.to_thread(answers, url):
                    return
                await asyncio.sleep(0.02)


def answers(url: str) -> bool:
    """Whether the store at `url` is ready for commands."""
    try:
        return _called(url, "PING", ANSWERS_WITHIN_S) == b"+PONG\r\n"
    except OSError:
        return False


def _called(url: str, command: str, within_s: float) -> bytes:
    """The first line of the reply; b"" if the connection is closed instead. Raises OSError.

    If another program has the port now, it is that program's refusal of our password. By hand: redis-py
    would cost each supervisor 7 MiB.
    """
    place = urlsplit(url)
    address: Any
    family, address = socket.AF_INET, (place.hostname or "", place.port or 0)
    if sys.platform != "win32" and place.scheme == "unix":
        family, address = socket.AF_UNIX, unquote(place.path)
    with socket.socket(family) as connection, connection.makefile("rb") as replies:
        connection.settimeout(within_s)
        connection.connect(address)
        for call in [f"AUTH {place.password}", command] if place.password else [command]:
            connection.sendall(f"{call}\r\n".encode())
            reply = replies.readline()
            if call != command and reply != b"+OK\r\n":
                break
    return reply
