"""`dayz-relay up`: the whole relay in one command, its store included.

It checks everything, and says where the mods call, where people look and what servers still lack. The first
start writes a relay.toml with fresh secrets, and tells its owner what to do next.
"""

import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from services.cli import own_store, private_files, store_place
from services.cli.settings_of import warnings_of
from services.cli.supervisor import become
from services.cli.terminal import runnable
from services.relay.instances.mod_config import mod_config, mod_url
from services.relay.protocol.errors import ConfigError
from services.relay.service.http.addresses import dialled_host, host_and_port
from services.relay.service.http.ports import bind
from services.relay.service.settings import NO_INSTANCE, Instance, ModApi, Settings, load
from services.relay.service.settings_names import environment_configures
from services.relay.service.settings_values import is_loopback
from services.relay.service.text_files import is_there

NAMED = 20  # maximum number of incomplete servers that are shown by name

_SECRET_BYTES = 24

_RELAY_TOML = """\
# Settings of the relay. `dayz-relay check` shows what is in effect. Keep this file to yourself.

[takaro]
# Only for a self-hosted Takaro: its connector's address. Set it before the token, then restart the relay.
# url = "wss://connect.takaro.io/"
# The registration token of your Takaro: dashboard, Settings, Game Servers, Add Game Server, Generic.
# registration_token = "paste it here and remove the # in front"

[modapi]
# Where the mod calls. Other machines can call when host is "0.0.0.0".
host = "127.0.0.1"
port = 8088

# One block for each DayZ server.
[[instance]]
# The relay keeps the events of a server under this name: never change it.
slug = "main"
# What Takaro calls the server, 3 to 50 characters. Takaro reads it only once, when it first sees the server.
name = "My DayZ server"
# Takaro knows the server by this: never change it, or Takaro sees a new server.
identity_token = "{identity_token}"
# What the mod has in its TakaroApiUrl. Anybody who has it can speak for this server.
mod_keys = ["{mod_key}"]
"""

_WHAT_TO_DO = """\
First start: {path} was created, with one server and fresh secrets.

1. The mod. Put this into profiles/TakaroIntegration/config.json and start your DayZ server.
   Its RegistrationToken is the relay's mod key, not Takaro's token:

{mod_config}

2. The name. In {path}, set name to what Takaro should call your server. Takaro reads it only
   once. If you host Takaro yourself, also set url under [takaro], and restart the relay: the token
   of step 3 is sent there.

3. The token. In Takaro's dashboard open Settings, Game Servers, Add Game Server, Generic. Copy the
   registration token into {path} under [takaro], and remove the # in front. No restart needed.

Until then the relay already accepts the mod's events and keeps them for Takaro.
"""


def run(config: Path, data: Path, environ: Mapping[str, str]) -> int:
    """Run until SIGINT or SIGTERM; the exit code. Raises ConfigError before anything is started."""
    first = not is_there(config) and not environment_configures(environ)
    if first:
        write_first(config)
    loaded = load(config if is_there(config) else None, environ)
    settings = loaded.settings
    if first:
        print(what_to_do(config, settings), flush=True)
    server = None
    if brings_store := settings.redis.url is None:
        server = store_place.find_server(settings.redis.server)
        os.close(own_store.lock(data))  # the supervisor holds it
    _must_be_free(settings)
    for warning in warnings_of(loaded):
        print(f"warning: {runnable(warning)}")
    print(*map(runnable, banner(settings)), sep="\n", flush=True)
    return become(config, data, settings.log.format, brings_store, server)


def write_first(path: Path) -> None:
    """Write a first relay.toml to `path`. Raises ConfigError if it is there already or cannot be written."""
    text = _RELAY_TOML.format(
        identity_token=secrets.token_urlsafe(_SECRET_BYTES), mod_key=secrets.token_urlsafe(_SECRET_BYTES)
    )
    try:
        private_files.create(path, text.replace("\n", os.linesep).encode())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error


def what_to_do(path: Path, settings: Settings) -> str:
    """What the owner of a fresh relay.toml does next, with the text to paste."""
    key = settings.instances[0].mod_keys[0].get_secret_value()
    return _WHAT_TO_DO.format(path=path, mod_config=mod_config(mod_url(settings.modapi), key))


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
    """Where the mods call, where people look, and what servers still lack: a line for each incomplete one."""
    lines = [f"Mods call {mod_url(settings.modapi)}/k/<mod key>", *_page(settings.modapi)]
    if not settings.instances:
        lines.append(f"Servers that were added with a panel are served. In relay.toml there is {NO_INSTANCE}")
    told = [(f'Server {one.slug} ("{one.name}")', _lacks(one)) for one in settings.instances]
    lacking = [f"{server}: {lacks}" for server, lacks in told if lacks]
    complete = [server for server, lacks in told if not lacks]
    lines += lacking[:NAMED]
    if more := lacking[NAMED:]:
        lines.append(f"{len(more):,} more lack something: `dayz-relay doctor` names them")
    if len(complete) == 1:
        lines.append(f"{complete[0]}: complete")
    elif complete:
        lines.append(f"{len(complete):,} servers are complete")
    return lines


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
