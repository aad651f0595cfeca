"""deploy/pterodactyl/egg-dayz-relay.json: what a panel of Pterodactyl or Pelican imports (form PTDL_v2)."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "deploy" / "pterodactyl"
PAGE = FOLDER / "egg-dayz-relay.json"
MADE = "2026-11-29T00:00:00+00:00"
IMAGE = "~dayz-relay:wings"
"""`~`: Wings takes the image that was built on its machine, and asks no registry."""
STARTED = "mods call "
"""What modapi logs when mods can call."""
STOP = "^SIGINT"
"""Wings knows signals by their whole names: of `^C` it makes SIGKILL."""

VARIABLES = (
    ("Server name", "TAKARO_SERVER_NAME", "", "required|string|between:3,50",
     "The name of your server in Takaro. Takaro keeps it for ever: choose it before the first start."),
    ("Registration token", "TAKARO_REGISTRATION_TOKEN", "", "nullable|string|max:191",
     "From Takaro's dashboard: Settings, Game Servers, Add Game Server, Generic. "
     "Until it is there, events are kept."),
    ("Address for the mod", "RELAY_MODAPI__PUBLIC_URL", "", "nullable|string|max:191",
     "What the mod calls, as http://203.0.113.5:8088 or https://relay.example.org. "
     "Empty: this server's address and port. Reinstall after a change: it is in config.json."),
    ("Port of the status page", "RELAY_MODAPI__ADMIN_PORT", "9088", "required|integer|between:1024,65535",
     "The page can be reached if this is a second port (allocation) of this server, and has a token."),
    ("Token of the status page", "RELAY_MODAPI__ADMIN_TOKEN", "", "nullable|string|between:16,191",
     "16 characters or more, that nobody can guess."),
    ("Takaro's address", "TAKARO_WS_URL", "", "nullable|string|max:191", "Only for a self-hosted Takaro."),
    ("Discord webhook", "RELAY_ALERTS__DISCORD_URL", "", "nullable|string|max:191",
     "Gets a message when the game server is silent, or Takaro refuses it."),
)  # fmt: skip
"""Name, variable, default, rule and description of each setting in the Startup tab."""


def egg() -> dict[str, Any]:
    return {
        "_comment": "Made by `make docs`, of docs/egg.py.",
        "meta": {"version": "PTDL_v2", "update_url": None},
        "exported_at": MADE,
        "name": "dayz-relay",
        "author": "dayz-relay@example.org",
        "description": "The relay between a DayZ server and Takaro, with its own store in the volume.",
        "features": None,
        "docker_images": {"dayz-relay": IMAGE},
        "file_denylist": [],
        "startup": "env RELAY_MODAPI__PORT={{SERVER_PORT}} dayz-relay up",
        "config": {
            "files": "{}",
            "startup": json.dumps({"done": STARTED, "strip_ansi": True}),
            "logs": "{}",
            "stop": STOP,
        },
        "scripts": {
            "installation": {
                "script": (FOLDER / "install.sh").read_text(encoding="utf-8"),
                "container": "ghcr.io/pterodactyl/installers:alpine",
                "entrypoint": "ash",
            }
        },
        "variables": [
            {
                "name": name,
                "description": description,
                "env_variable": variable,
                "default_value": default,
                "user_viewable": True,
                "user_editable": True,
                "rules": rules,
                "field_type": "text",
            }
            for name, variable, default, rules, description in VARIABLES
        ],
    }


def page() -> str:
    return json.dumps(egg(), indent=4) + "\n"
