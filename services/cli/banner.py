"""What `up` says before it starts: where the mods call, where people look, what servers still lack. Pure."""

from collections.abc import Iterator

from services.relay.instances.mod_config import mod_url
from services.relay.service.http.addresses import dialled_host, host_and_port
from services.relay.service.settings import NO_INSTANCE, Instance, ModApi, Settings
from services.relay.service.settings_values import is_loopback

NAMED = 20
"""Maximum number of incomplete servers that are shown by name."""


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
