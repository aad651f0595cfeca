"""`dayz-relay up`: the whole relay in one command, its store included."""

import asyncio
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from services.cli import first_run, local_token, own_store, store_port
from services.cli.banner import banner
from services.cli.supervise import Program, supervise
from services.cli.terminal import runnable
from services.relay.service import logs
from services.relay.service.http.ports import bind
from services.relay.service.lifecycle import on_stop_signals
from services.relay.service.settings import Settings, load
from services.relay.service.settings_names import environment_configures
from services.relay.service.settings_warnings import cautions
from services.relay.service.text_files import is_there
from services.relay.service.under_up import LOCAL_TOKEN_FILE, STORE_FOLDER


def run(config: Path, data: Path, environ: Mapping[str, str]) -> int:
    """Run until SIGINT or SIGTERM; the exit code. Raises ConfigError before anything is started."""
    first = not is_there(config) and not environment_configures(environ)
    if first:
        first_run.write(config)
    settings, warnings = load(config if is_there(config) else None, environ)
    if first:
        print(first_run.what_to_do(config, settings), flush=True)
    with ExitStack() as held:
        brings_store = settings.redis.url is None
        if brings_store:
            server = store_port.find_server(settings.redis.server)
            held.enter_context(own_store.locked(data))
        _must_be_free(settings)
        for warning in (*warnings, *cautions(config if is_there(config) else None, environ, settings)):
            print(f"warning: {runnable(warning)}")
        print(*map(runnable, banner(settings)), sep="\n", flush=True)
        logs.configure("up", settings)
        told = {**environ, LOCAL_TOKEN_FILE: held.enter_context(local_token.in_force(data))}
        if brings_store:
            store = own_store.prepare(data, server)
            told[STORE_FOLDER] = str(data.resolve())
            programs = [store.program, *services(config, told, store.url)]
        else:
            programs = services(config, told)
        return asyncio.run(_supervise(programs))


def _must_be_free(settings: Settings) -> None:
    """Raises ConfigError for a port in use. The services would find it only some seconds later."""
    modapi, uplink = settings.modapi, settings.uplink
    for key, host, port in (
        ("modapi.port", modapi.host, modapi.port),
        ("modapi.admin_port", modapi.admin_host, modapi.admin_port),
        ("uplink.admin_port", uplink.admin_host, uplink.admin_port),
    ):
        bind(host, port, key).close()


def services(config: Path, environ: Mapping[str, str], redis_url: str = "") -> list[Program]:
    """modapi and uplink as programs. The store is named in their environment, where `ps` does not show it."""
    own = {**environ, "RELAY_REDIS__URL": redis_url} if redis_url else environ
    start = (sys.executable, "-m", "services.cli")
    # Stopped in the opposite order: uplink owes Takaro answers, and mods bring them by way of modapi. Events
    # that modapi accepts meanwhile are in the store.
    return [
        Program(name, (*start, name, "--config", str(config), "--warned"), own)
        for name in ("modapi", "uplink")
    ]


async def _supervise(programs: list[Program]) -> int:
    return await supervise(programs, *stop_on_signals())


def stop_on_signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Events set by signals of a terminal or a service manager: the first sets `stop`, the next `kill`."""
    stop, kill = asyncio.Event(), asyncio.Event()
    on_stop_signals(lambda: (kill if stop.is_set() else stop).set(), terminal=True)
    return stop, kill
