"""docs/settings.md: every setting, names and defaults from the code. What each means is said here."""

from collections.abc import Iterator
from pathlib import Path

from services.relay.settings import Instance, Settings
from services.relay.settings_sources import KEYS, SECRETS, SHORT_NAMES, env_name

PAGE = Path(__file__).parent / "settings.md"

HEAD = """\
# Settings

`make docs` writes this page from the code. `dayz-relay check` shows what is in effect, with the secrets
hidden.

A setting stands in `relay.toml` or in the environment. The environment beats the file. A `*` marks the
secrets: each can be read from a file instead, with `_file` (in `relay.toml`) or `_FILE` (in the
environment) after its name. A path in `relay.toml` is relative to that file. Unknown names are warned
about.

Changes of `[[instance]]` blocks and of `[takaro] registration_token` take effect at once, all others at
the next start.

Only what differs from the default needs a line. For one server this is enough:

```toml
[takaro]
registration_token = "from Takaro's dashboard"

[[instance]]
slug = "main"
name = "My DayZ server"
identity_token = "an-identity-token-of-yours"
mod_keys = ["example-key-yours-is-different"]
```
"""

SHORT = """\
## Short names

For a single server these variables are enough, without a file. They fill gaps and overrule nothing. The
slug is `server`.

| short name | the same as |
|---|---|
"""

ENVIRONMENT = """\
The blocks of the file are instances 0, 1, 2 … for the environment. A number that the file does not have
adds an instance.
"""

TITLES = {
    "takaro": "Takaro",
    "redis": "The store",
    "modapi": "modapi, which the mods call",
    "uplink": "uplink, which speaks to Takaro",
    "limits": "Limits",
    "log": "The log",
    "metrics": "Metrics",
    "alerts": "Alerts",
    "instance": "Servers",
}

MEANINGS = {
    "takaro": {
        "url": "Takaro's connector",
        "registration_token": "from Takaro's dashboard; for every instance without its own",
        "proxy": (
            "`http://` or `https://`, to reach Takaro through; the proxy variables of the "
            "environment are ignored"
        ),
    },
    "redis": {
        "url": "see [The store](operate.md#the-store); without it `up` brings its own",
        "replicas": (
            "how many must have a batch before the mod hears 200; if not set, 1 with Sentinel or "
            "Cluster and 0 otherwise"
        ),
        "durability": "`relaxed` accepts what the settings of Redis can lose; the log and `/readyz` name it",
    },
    "modapi": {
        "host": "where the mods call; anything but loopback needs a mod key for each instance",
        "port": "0 takes any free port, and the log names it",
        "tls_cert": "a certificate chain (PEM), for HTTPS on the mods' port; read again when it changes",
        "tls_key": "its key, without a password",
        "trusted_proxies": (
            "addresses or networks of proxies in front, whose `X-Forwarded-For` is believed; a "
            "list, in the environment separated by commas"
        ),
        "admin_host": "`/livez`, `/readyz`, `/metrics`; no secret protects them",
        "admin_port": "",
        "admin_token": "opens the page and the admin API; 16 characters or more",
        "hold_polls_s": (
            "how long the answer to a mod that has nothing to do may wait for a command; 0: not at "
            "all, 8 at most"
        ),
    },
    "uplink": {
        "admin_host": "`/livez`, `/readyz`, `/metrics`; no secret protects them",
        "admin_port": "",
        "reads_per_s": "how often one game server is asked for positions, inventories and lists",
    },
    "limits": {
        "connections": (
            "to the mods' port, in all; one more hears 503. Never more than the open files that "
            "the system allows, less 256"
        ),
        "connections_per_address": (
            "of one IPv4 address, or one /64 of IPv6; `trusted_proxies` are not counted"
        ),
        "header_bytes": "of a request: 431",
        "receive_within_s": (
            "seconds for a whole request from its first byte, and for the first byte of a new "
            "connection; then it is closed"
        ),
        "body_bytes": "of a POST: of a longer one the beginning is read, up to `result_bytes`",
        "result_bytes": "of an answer to a command: 413",
        "batch_events": "in one POST: the first ones are taken, the rest goes to the dead events",
        "event_bytes": "of one event: a bigger one goes to the dead events",
        "event_levels": "of nesting in one event: a deeper one goes to the dead events",
        "text_chars": "in one text of an event: cut",
        "requests_per_s": "of one instance, with bursts of ten seconds; then 429",
        "events_per_s": (
            "of one instance, with bursts of ten seconds; long and broken bodies count as more; then 429"
        ),
        "wrong_keys_per_minute": "from one address: then 429; a right key is never put off",
        "open_commands": "that wait for one mod: Takaro gets an error",
        "mirror_players": "who is remembered of one instance, with position and inventory; nobody beyond it",
        "inventory_bytes": "of one inventory: a bigger one is passed on and not remembered",
        "catalogue_bytes": (
            "of one list of items, entities, locations or bans: a bigger one is passed on and not remembered"
        ),
        "frame_in_bytes": "of a frame from Takaro: the socket is replaced",
        "frame_out_bytes": "of an answer to Takaro: it gets an error instead",
    },
    "log": {
        "format": "`text` for people, `json` for programs: one object a line",
    },
    "metrics": {
        "per_instance": "whether metrics tell servers apart; `false` for some thousands of them",
    },
    "alerts": {
        "discord_url": "a webhook of a Discord channel, see [Alerts](operate.md#alerts)",
        "webhook_url": "the same for programs, as JSON",
        "silent_after_s": "seconds of silence of a game server before you are told",
    },
    "instance": {
        "slug": "a-z, 0-9 and -; names the server in the store, logs and metrics: never change it",
        "name": "3 to 50 characters; Takaro takes it when it first sees the server, and not again",
        "identity_token": "how Takaro knows the server: never change it",
        "mod_keys": (
            "16 or more of A-Z, a-z, 0-9, _ and -; a list, in the environment separated by commas, in "
            "a file one per line"
        ),
        "registration_token": "when this instance belongs to another Takaro domain",
        "log": "`off`: no log line of this server goes to Takaro",
        "log_per_s": (
            "the most log lines a second, up to ten seconds' worth in one burst; more are dropped and counted"
        ),
    },
}


def _default(section: str, key: str) -> str:
    if section == "instance":
        field = Instance.model_fields[key]
        return "required" if field.is_required() else f"`{field.default}`" if field.default else "none"
    value = getattr(getattr(Settings(), section), key)
    if value is None or value == ():
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _row(section: str, key: str) -> str:
    place, path = f"[{section}]", (section, key)
    if section == "instance":
        place, path = "[[instance]]", (section, "0", key)
    star = " *" if (section, key) in SECRETS else ""
    meaning = MEANINGS[section][key]
    return f"| `{place} {key}`{star} | `{env_name(path)}` | {_default(section, key)} | {meaning} |"


def _short_rows() -> Iterator[str]:
    """The variables of a single server, each beside its twin with `_FILE`."""
    for name, path in SHORT_NAMES.items():
        if not name.endswith("_FILE"):
            names = [name, f"{name}_FILE"] if f"{name}_FILE" in SHORT_NAMES else [name]
            section = f"[{path[0]}]" if path[0] != "instance" else "[[instance]], the first:"
            yield f"| {', '.join(f'`{one}`' for one in names)} | `{section} {path[-1]}` |"


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for section, keys in KEYS.items():
        rows = [_row(section, key) for key in keys]
        head = [f"## {TITLES[section]}", "", "| relay.toml | environment | default | meaning |"]
        parts.append("\n".join([*head, "|---|---|---|---|", *rows, ""]))
    parts += [ENVIRONMENT, SHORT + "\n".join(_short_rows()) + "\n"]
    return "\n".join(parts)
