"""Keeps the programs of one relay alive, its store included, after `up` has checked everything."""

import asyncio
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from services.cli import local_token, own_store
from services.cli.supervise import Program, supervise
from services.cli.supervisor import Checked
from services.relay.service import logs
from services.relay.service.stop_signals import on_stop_signals
from services.relay.service.under_up import LOCAL_TOKEN_FILE, STORE_FOLDER


def run(checked: Checked) -> int:
    """Supervise until SIGINT or SIGTERM; the exit code. Raises ConfigError."""
    logs.configure("up", checked.log_format)
    with ExitStack() as held:
        if checked.brings_store:
            held.enter_context(own_store.held(checked.data))
        told = {**os.environ, LOCAL_TOKEN_FILE: held.enter_context(local_token.in_force(checked.data))}
        if checked.brings_store:
            store, url = own_store.prepare(checked.data, checked.server)
            told[STORE_FOLDER] = str(checked.data.resolve())
            programs = [store, *services(checked.config, told, url)]
        else:
            programs = services(checked.config, told)
        return asyncio.run(_supervise(programs))


async def _supervise(programs: list[Program]) -> int:
    return await supervise(programs, *stop_on_signals())


def services(config: Path, environ: Mapping[str, str], redis_url: str = "") -> list[Program]:
    """modapi and uplink as programs. The store is named in their environment, where `ps` does not show it."""
    own = {**environ, "RELAY_REDIS__URL": redis_url} if redis_url else environ
    start = (sys.executable, "-P", "-m", "services.cli.service")
    # Stopped in the opposite order: uplink owes Takaro answers, and mods bring them by way of modapi. Events
    # that modapi accepts meanwhile are in the store.
    return [Program(name, (*start, name, str(config)), own) for name in ("modapi", "uplink")]


def stop_on_signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Events set by signals of a terminal or a service manager: the first sets `stop`, the next `kill`."""
    stop, kill = asyncio.Event(), asyncio.Event()
    on_stop_signals(lambda: (kill if stop.is_set() else stop).set(), terminal=True)
    return stop, kill
