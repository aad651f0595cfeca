"""`dayz-relay up`: the whole relay in one command, its store included."""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from services.cli import first_run, own_store, store_place
from services.cli.banner import banner
from services.cli.supervisor import Checked, become
from services.cli.terminal import runnable
from services.relay.service.http.ports import bind
from services.relay.service.settings import Settings, load
from services.relay.service.settings_names import environment_configures
from services.relay.service.settings_warnings import cautions
from services.relay.service.text_files import is_there


def run(config: Path, data: Path, environ: Mapping[str, str]) -> int:
    """Run until SIGINT or SIGTERM; the exit code. Raises ConfigError before anything is started."""
    first = not is_there(config) and not environment_configures(environ)
    if first:
        first_run.write(config)
    loaded = load(config if is_there(config) else None, environ)
    settings = loaded.settings
    if first:
        print(first_run.what_to_do(config, settings), flush=True)
    lock, server = None, None
    with ExitStack() as on_failure:
        if settings.redis.url is None:
            server = store_place.find_server(settings.redis.server)
            lock = own_store.lock(data)
            on_failure.callback(os.close, lock)
        _must_be_free(settings)
        for warning in (*loaded.warnings, *cautions(loaded)):
            print(f"warning: {runnable(warning)}")
        print(*map(runnable, banner(settings)), sep="\n", flush=True)
        on_failure.pop_all()
    return become(Checked(config, data, settings.log.format, lock, server))


def _must_be_free(settings: Settings) -> None:
    """Raises ConfigError for a port in use. The services would find it only some seconds later."""
    modapi, uplink = settings.modapi, settings.uplink
    for key, host, port in (
        ("modapi.port", modapi.host, modapi.port),
        ("modapi.admin_port", modapi.admin_host, modapi.admin_port),
        ("uplink.admin_port", uplink.admin_host, uplink.admin_port),
    ):
        bind(host, port, key).close()
