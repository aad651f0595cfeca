"""The process that stays of `dayz-relay up`: it keeps the programs of one relay alive, its store included.

`up` checks everything first, and for that loads the command line, the settings and their libraries, 50 MiB.
Then it becomes this process, which loads none of them.
"""

import sys

if __name__ == "__main__":  # asyncio loads OpenSSL where it can: 4 MiB that this process never uses
    sys.modules["ssl"] = None  # type: ignore[assignment]

import asyncio
import math
import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from services.cli import local_token, own_store
from services.cli.supervise import Program, supervise
from services.relay.protocol.errors import RelayError
from services.relay.service import logs
from services.relay.service.stop_signals import on_stop_signals
from services.relay.service.under_up import LOCAL_TOKEN_FILE, STORE_FOLDER

ONE_SIGNAL_S = 0.3
"""`timeout`, and a terminal that closes, send a signal to a process and again to its group."""


def become(config: Path, data: Path, log_format: str, brings_store: bool, server: Path | None) -> int:
    """Replace this process by the supervisor. On Windows, which cannot, this process supervises.

    Arguments are those of `run`. Returns the exit code, if it returns.
    """
    if sys.platform == "win32":
        return run(config, data, log_format, brings_store, server)
    sys.stdout.flush()
    words = [str(value or "") for value in (config, data, log_format, brings_store, server)]  # none is secret
    # -P: no file of the working folder takes the place of a module.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "services.cli.supervisor", *words])


def run(config: Path, data: Path, log_format: str, brings_store: bool, server: Path | None) -> int:
    """Supervise until SIGINT or SIGTERM; the exit code. Raises RelayError.

    `brings_store`: the store is its own, in the folder `data`, and `server` is its program; None: the
    embedded Valkey.
    """
    logs.configure("up", log_format)
    with ExitStack() as held:
        if brings_store:
            held.enter_context(own_store.held(data))
        environ = {**os.environ, LOCAL_TOKEN_FILE: held.enter_context(local_token.in_force(data))}
        if brings_store:
            store, url = own_store.prepare(data, server)
            environ[STORE_FOLDER] = str(data.resolve())
            programs = [store, *services(config, environ, url)]
        else:
            programs = services(config, environ)

        async def keep_alive() -> int:
            return await supervise(programs, *stop_on_signals())

        return asyncio.run(keep_alive())


def services(config: Path, environ: Mapping[str, str], redis_url: str = "") -> list[Program]:
    """modapi and uplink as programs. The store is named in their environment, where `ps` does not show it."""
    own = {**environ, "RELAY_REDIS__URL": redis_url} if redis_url else environ
    start = (sys.executable, "-P", "-m", "services.cli.service")
    # Stopped in the opposite order: uplink owes Takaro answers, and mods bring them by way of modapi. Events
    # that modapi accepts meanwhile are in the store.
    return [Program(name, (*start, name, str(config)), own) for name in ("modapi", "uplink")]


def stop_on_signals(one_signal_s: float = ONE_SIGNAL_S) -> tuple[asyncio.Event, asyncio.Event]:
    """Events set by signals of a terminal or a service manager: the first sets `stop`, the next `kill`.

    Signals within `one_signal_s` are one.
    """
    stop, kill, clock = asyncio.Event(), asyncio.Event(), asyncio.get_running_loop().time
    seen_s = -math.inf

    def on_signal() -> None:
        nonlocal seen_s
        if clock() - seen_s > one_signal_s:
            (kill if stop.is_set() else stop).set()
            seen_s = clock()

    on_stop_signals(on_signal, terminal=True)
    return stop, kill


def main(config: str, data: str, log_format: str, brings_store: str, server: str) -> int:
    program = Path(server) if server else None
    try:
        return run(Path(config), Path(data), log_format, bool(brings_store), program)
    except RelayError as error:
        from services.cli.terminal import failed

        return failed(error)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
