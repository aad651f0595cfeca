"""The first start: writes a relay.toml with fresh secrets, and tells its owner what to do next."""

import os
import secrets
from pathlib import Path

from services.cli import private_files
from services.relay.instances.mod_config import mod_config, mod_url
from services.relay.protocol.errors import ConfigError
from services.relay.service.settings import Settings

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

2. The name. In {path}, set name to what Takaro should call your server. Do it before step 3:
   Takaro reads it only once.

3. Takaro. Only if you host it yourself: first set url in {path} under [takaro], and restart the
   relay. The token is sent there.
   In the dashboard open Settings, Game Servers, Add Game Server, Generic. Copy the registration
   token into {path} under [takaro], and remove the # in front. No restart needed.

Until then the relay already accepts the mod's events and keeps them for Takaro.
"""


def write(path: Path) -> None:
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
