"""docs/settings.md: every setting, names and defaults from the code. What each means is said here."""

from collections.abc import Iterator
from pathlib import Path

from services.relay.service.settings import KEYS, SECRETS, Instance, Settings
from services.relay.service.settings_names import SHORT_NAMES, env_name

PAGE = Path(__file__).parent / "settings.md"

HEAD = """\
# Settings

`make docs` writes this page from the code. `dayz-relay check` shows what is in effect, with the secrets
hidden.

A setting stands in `relay.toml` or in the environment; the environment overrides the file. A `*` marks
secrets: each can be read from a file instead, with `_file` (in `relay.toml`) or `_FILE` (in the
environment) after its name. A variable that is empty, or that names an empty file, counts as not set. A
path in `relay.toml` is relative to that file. Unknown names cause a warning.

Changes of `[[instance]]` blocks and of `[takaro] registration_token` in `relay.toml` take effect at once,
all others at the next start.

Only settings that differ from the default need a line. For one server this is enough:

```toml
[takaro]
registration_token = "paste the token from Takaro's dashboard here"

[[instance]]
slug = "main"
name = "My DayZ server"
identity_token = "your-own-identity-token"
mod_keys = ["example-key-yours-is-different"]
```
"""

SHORT = """\
## Short names

For a single server these variables are enough, without a file. They fill gaps and override nothing. The
slug is `server`.

| short name | the same as |
|---|---|
"""

ENVIRONMENT = """\
In the environment, the blocks of the file are instances 0, 1, 2 … A number that the file does not have
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
        "url": "address of Takaro's connector",
        "registration_token": "from Takaro's dashboard; for every instance without its own",
        "proxy": (
            "proxy through which Takaro is reached, `http://` or `https://`; the proxy variables of the "
            "environment are ignored"
        ),
    },
    "redis": {
        "url": "address of Redis, see [The store](operate.md#the-store); without it `up` starts its own",
        "password": (
            "password of Redis, with any characters, for a `url` without one; a user and a password can "
            "also stand in `url`"
        ),
        "server": (
            "path of the `redis-server` or `valkey-server` that `up` runs as its own store, on a loopback "
            "port with a generated password; without it the Valkey that comes with the relay. Windows has "
            "none: there it is `redis-server.exe` from the folder `redis` or from PATH"
        ),
        "replicas": (
            "how many replicas must have a batch before the mod gets 200; if not set, 1 with Sentinel or "
            "Cluster and 0 otherwise"
        ),
        "durability": (
            "`relaxed` accepts what Redis can lose because of its settings; the log and `/readyz` name it"
        ),
    },
    "modapi": {
        "host": (
            "address on which the mods call: `0.0.0.0` is all IPv4 addresses of this machine, `::` its IPv6 "
            "ones too; anything but loopback needs a mod key for each instance"
        ),
        "port": "port on which the mods call; 0 takes any free one, and the log names it",
        "public_url": (
            "what mods call where that is not this address and port, as `https://relay.example.org`: it goes "
            "into the `config.json` that the relay shows for a mod"
        ),
        "tls_cert": "file of a certificate chain (PEM), for HTTPS on the mods' port; changes are picked up",
        "tls_key": "file of its key, without a password",
        "trusted_proxies": (
            "addresses or networks of proxies in front, whose `X-Forwarded-For` is believed; a "
            "list, in the environment separated by commas"
        ),
        "admin_host": (
            "address of the status page, the admin API, `/livez`, `/readyz` and `/metrics`; the last three "
            "have no password"
        ),
        "admin_port": "port of these",
        "admin_token": "opens the status page and the admin API; 16 characters or more",
        "hold_polls_s": (
            "how many seconds a poll without a command may wait for one; 0: not at all, 8 at most"
        ),
    },
    "uplink": {
        "admin_host": "address of `/livez`, `/readyz` and `/metrics`, which have no password",
        "admin_port": "port of these",
        "reads_per_s": "how often a second one game server is asked for positions, inventories and lists",
    },
    "limits": {
        "connections": (
            "most connections to the mods' port at once; further ones get 503. Also limited by the open "
            "files that the system allows, minus 256"
        ),
        "connections_per_address": (
            "most connections from one IPv4 address or IPv6 /64; `trusted_proxies` are exempt"
        ),
        "header_bytes": "largest request head; a larger one gets 431",
        "receive_within_s": (
            "seconds for a whole request from its first byte, and for the first byte of a new "
            "connection; then it is closed"
        ),
        "body_bytes": "largest POST of events; of a longer one only the beginning is used",
        "result_bytes": (
            "largest answer to a command; a larger one gets 413. Of those that nobody asked for, two of this"
            " size in ten seconds; further ones get 429"
        ),
        "batch_events": "most events in one POST; the rest becomes dead letters",
        "event_bytes": "largest event; a larger one becomes a dead letter",
        "event_levels": "deepest nesting in an event; a deeper one becomes a dead letter",
        "text_chars": "longest text in an event; longer ones are cut",
        "requests_per_s": (
            "most requests of one instance a second, with bursts of ten seconds; further ones get 429"
        ),
        "events_per_s": (
            "most events of one instance a second, with bursts of ten seconds; long and broken bodies count "
            "as more; further ones get 429"
        ),
        "wrong_keys_per_minute": (
            "most calls without a right key from one address; further ones get 429, a right key never does"
        ),
        "open_commands": "most commands waiting for one mod; further ones fail with an error in Takaro",
        "mirror_players": (
            "most players remembered for one instance, with position and inventory; then the one not seen "
            "for longest is forgotten, and a longer list is cut"
        ),
        "inventory_bytes": "largest inventory that is remembered; a larger one is only passed on",
        "catalogue_bytes": (
            "largest list of items, entities, locations or bans that is remembered; a larger one is only "
            "passed on"
        ),
        "frame_in_bytes": "largest frame from Takaro; a larger one closes the socket and a new one is opened",
        "frame_out_bytes": "largest answer to Takaro; a larger one becomes an error",
    },
    "log": {
        "format": "`text` for people, `json` for programs: one object a line",
    },
    "metrics": {
        "per_instance": "whether metrics tell servers apart; use `false` with some thousands of them",
    },
    "alerts": {
        "discord_url": "address of a webhook of a Discord channel, see [Alerts](operate.md#alerts)",
        "webhook_url": "address of a web server that gets the same as JSON",
        "silent_after_s": "seconds of silence of a game server before an alert is sent",
    },
    "instance": {
        "slug": "a-z, 0-9 and -; names the server in the store, logs and metrics: never change it",
        "name": "3 to 50 characters; Takaro reads it when it first sees the server, and not again",
        "identity_token": "how Takaro knows the server: never change it",
        "mod_keys": (
            "the mod's keys: 16 or more of A-Z, a-z, 0-9, _ and -; a list, in the environment separated by "
            "commas, in a file one per line"
        ),
        "registration_token": "needed when this instance belongs to another Takaro domain",
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
