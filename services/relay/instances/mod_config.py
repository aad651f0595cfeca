"""The config.json with which a mod finds the relay. Pure."""

import json

from services.relay.service.http.addresses import dialled_host, host_and_port
from services.relay.service.settings import ModApi

MOD_CONFIG_PATH = "profiles/TakaroIntegration/config.json"
"""Where the mod reads it, in the folder of the DayZ server."""


def mod_url(modapi: ModApi) -> str:
    """The URL that mods call: `public_url`, or that of a mod on this machine."""
    if modapi.public_url:
        return modapi.public_url.rstrip("/")
    scheme = "https" if modapi.tls_cert else "http"
    return f"{scheme}://{host_and_port(dialled_host(modapi.host), modapi.port)}"


def mod_config(url: str, mod_key: str) -> str:
    """The whole config.json of the mod, with the mod's defaults for what the relay does not decide. `mod_key`
    may be "" for the only server of a relay on the same machine."""
    config = {
        "TakaroApiUrl": f"{url}/k/{mod_key}" if mod_key else url,
        # The newest mod stays idle while this is empty. The relay reads it, Takaro never sees it.
        "RegistrationToken": mod_key or "none",
        "IdentityToken": "",
        "GameServerId": "",
        "EventBatchIntervalMs": 1000,
        "CommandPollIntervalMs": 2000,
        "MaxEventsPerBatch": 50,
        "LogVerbose": False,
        "DryRun": False,
    }
    return json.dumps(config, indent=4)
