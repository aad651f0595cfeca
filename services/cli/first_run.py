"""The first start: a relay.toml with fresh secrets, and what its owner has to do with them."""

import os
import secrets
from pathlib import Path

from services.relay.errors import ConfigError
from services.relay.mod_config import mod_config, mod_url
from services.relay.settings import Settings

_SECRET_BYTES = 24

_RELAY_TOML = """\
# Settings of the relay. `dayz-relay check` shows what is in effect. Keep this file to yourself.

[takaro]
# Only for a Takaro of your own: the address of its connector. Set it before the token, then start anew.
# url = "wss://connect.takaro.io/"
# The registration token of your Takaro: dashboard, Settings, Game Servers, Add Game Server, Generic.
# registration_token = "paste it here and take away the # in front"

[modapi]
# Where the mod calls. Other machines can call when host is "0.0.0.0".
host = "127.0.0.1"
port = 8088

# One block for each DayZ server.
[[instance]]
# The relay keeps the events of a server under this name: never change it.
slug = "main"
# The name that Takaro gives the server when it first sees it, 3 to 50 characters. Takaro takes it once.
name = "My DayZ server"
# Takaro knows the server by this: never change it, or Takaro sees a new server.
identity_token = "{identity_token}"
# What the mod has in its TakaroApiUrl. Anybody who has it can speak for this server.
mod_keys = ["{mod_key}"]
"""

_WHAT_TO_DO = """\
This is the first start: {path} is written, with one server and fresh secrets.

1. The mod. Put this into profiles/TakaroIntegration/config.json and start your DayZ server.
   RegistrationToken there is the mod key again, not Takaro's token:

{mod_config}

2. The name. Set name in {path} to what Takaro shall call your server, before the token:
   Takaro takes it once.

3. Takaro. Open the dashboard: Settings, Game Servers, Add Game Server, Generic, and copy the
   registration token into {path}, where [takaro] says so. It takes effect at once.
   (A Takaro of your own: set url there first, and start the relay again.)

Until then the relay serves the mod all the same, and keeps its events for Takaro.
"""


def write(path: Path) -> None:
    """Write a first relay.toml to `path`. Raises ConfigError if it is there already or cannot be written."""
    text = _RELAY_TOML.format(
        identity_token=secrets.token_urlsafe(_SECRET_BYTES), mod_key=secrets.token_urlsafe(_SECRET_BYTES)
    )
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error


def what_to_do(path: Path, settings: Settings) -> str:
    """What the owner of a fresh relay.toml does next, with the text to paste."""
    key = settings.instances[0].mod_keys[0].get_secret_value()
    return _WHAT_TO_DO.format(path=path, mod_config=mod_config(mod_url(settings.modapi), key))
