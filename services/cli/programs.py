"""The two services as programs of `up`, and the signals that stop them."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

from services.cli.supervise import Program
from services.relay.service.stop_signals import on_stop_signals


def services(config: Path, environ: Mapping[str, str], redis_url: str = "") -> list[Program]:
    """modapi and uplink as programs. The store is named in their environment, where `ps` does not show it."""
    own = {**environ, "RELAY_REDIS__URL": redis_url} if redis_url else environ
    start = (sys.executable, "-m", "services.cli.service")
    # Stopped in the opposite order: uplink owes Takaro answers, and mods bring them by way of modapi. Events
    # that modapi accepts meanwhile are in the store.
    return [Program(name, (*start, name, str(config)), own) for name in ("modapi", "uplink")]


def stop_on_signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Events set by signals of a terminal or a service manager: the first sets `stop`, the next `kill`."""
    stop, kill = asyncio.Event(), asyncio.Event()
    on_stop_signals(lambda: (kill if stop.is_set() else stop).set(), terminal=True)
    return stop, kill
