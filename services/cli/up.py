"""`dayz-relay up`: the whole relay in one command, its store included.

It checks everything, and says where the mods call, where people look and what servers still lack.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from services.cli import first_run, own_store, store_place
from services.cli.settings_of import warnings_of
from services.cli.supervisor import Checked, become
from services.cli.terminal import runnable
from services.relay.instances.mod_config import mod_url
from services.relay.service.http.addresses import dialled_host, host_and_port
from services.relay.service.http.ports import bind
from services.relay.service.settings import NO_INSTANCE, Instance, ModApi, Settings, load
from services.relay.service.settings_names import environment_configures
from services.relay.service.settings_values import is_loopback
from services.relay.service.text_files import is_there

NAMED = 20
"""Maximum number of incomplete servers that are shown by name."""


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
        for warning in warnings_of(loaded):
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


def banner(settings: Settings) -> list[str]:
    """The lines to print."""
    lines = [f"Mods call {mod_url(settings.modapi)}/k/<mod key>", *_page(settings.modapi)]
    if not settings.instances:
        lines.append(f"Servers that were added with a panel are served. In relay.toml there is {NO_INSTANCE}")
    return lines + list(_servers(settings.instances))


def _servers(instances: tuple[Instance, ...]) -> Iterator[str]:
    """A line for each incomplete server; one line for all complete ones."""
    lacking = [(one, lacks) for one in instances if (lacks := _lacks(one))]
    complete = [one for one in instances if not _lacks(one)]
    for one, lacks in lacking[:NAMED]:
        yield f"{_named(one)}: {lacks}"
    if more := lacking[NAMED:]:
        yield f"{len(more):,} more lack something: `dayz-relay doctor` names them"
    if len(complete) == 1:
        yield f"{_named(complete[0])}: complete"
    elif complete:
        yield f"{len(complete):,} servers are complete"


def _named(instance: Instance) -> str:
    return f'Server {instance.slug} ("{instance.name}")'


def _lacks(instance: Instance) -> str:
    lacks = (
        ("no Takaro registration token yet, its events are kept", instance.registration_token),
        ("no mod key, whoever is on this machine can speak for it", instance.mod_keys),
    )
    return "; ".join(what for what, there in lacks if not there)


def _page(modapi: ModApi) -> Iterator[str]:
    """Without a token the page shows itself on this machine only, see services/modapi/page/access.py."""
    if not modapi.admin_port:  # any free one
        return
    host, local = dialled_host(modapi.admin_host), is_loopback(modapi.admin_host)
    if modapi.admin_token:
        asks = " (it asks for the admin_token of [modapi])"
    else:
        asks = "" if local else " (once admin_token is set under [modapi])"
    name = "localhost" if host == "127.0.0.1" else host
    yield f"Status page: http://{host_and_port(name, modapi.admin_port)}/{asks}"
