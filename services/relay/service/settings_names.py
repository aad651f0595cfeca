"""The names of settings in relay.toml, in the environment, and in complaints."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

from services.relay.service.settings import KEYS, SECRETS

Key = tuple[str, ...]  # ("takaro", "url") for a section's key, ("instance", "0", "slug") for an instance's

PREFIX = "RELAY_"

SHORT_NAMES: dict[str, Key] = {
    "TAKARO_REGISTRATION_TOKEN": ("takaro", "registration_token"),
    "TAKARO_REGISTRATION_TOKEN_FILE": ("takaro", "registration_token_file"),
    "TAKARO_WS_URL": ("takaro", "url"),
    "TAKARO_SERVER_NAME": ("instance", "0", "name"),
    "TAKARO_IDENTITY_TOKEN": ("instance", "0", "identity_token"),
    "TAKARO_IDENTITY_TOKEN_FILE": ("instance", "0", "identity_token_file"),
    "TAKARO_MOD_KEY": ("instance", "0", "mod_keys"),
    "TAKARO_MOD_KEY_FILE": ("instance", "0", "mod_keys_file"),
    "BRIDGE_LOCAL_PORT": ("modapi", "port"),
    "BRIDGE_BIND_ADDR": ("modapi", "host"),
}
"""Enough for a single server; most are the old bridge's. They fill gaps and override nothing."""


def keys_of(section: str) -> list[str]:
    """The keys that a section may have, `_file` ones too."""
    return [*KEYS[section], *(f"{key}_file" for key in KEYS[section] if (section, key) in SECRETS)]


def file_place(path: Path, key: Key) -> str:
    """How a complaint names a key of relay.toml. Blocks are counted from one."""
    section = f"[[instance]] number {int(key[1]) + 1}" if key[0] == "instance" else f"[{key[0]}]"
    return f"{path}, {section}, {key[-1]}"


def env_name(key: Key) -> str:
    """The variable that sets this key."""
    return PREFIX + "__".join(key).upper()


def key_of(variable: str) -> Key:
    """The setting that a known variable sets."""
    return tuple(variable.removeprefix(PREFIX).lower().split("__"))


_VARIABLES = [
    env_name((section, "0", key) if section == "instance" else (section, key))
    for section in KEYS
    for key in keys_of(section)
]


def known_variables(name: str) -> list[str]:
    """All variables that the relay knows; those of instances with the number that `name` has, or 0."""
    number = re.match("RELAY_INSTANCE__(0|[1-9][0-9]{0,3})(?![0-9])", name.upper())
    return [one.replace("__0__", f"__{number[1]}__") for one in _VARIABLES] if number else _VARIABLES


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a warning about an unknown name."""
    close = get_close_matches(name, known, n=1)
    return f", did you mean {close[0]}?" if close else ": it is ignored"


def ours(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that are set and may be for the relay.

    Compose passes an unset variable on as "". Notepad writes a mark before the first name of a file.
    """
    given = ((name.lstrip("\ufeff"), text.strip()) for name, text in environ.items())
    return {name: text for name, text in given if text and (name.startswith(PREFIX) or name in SHORT_NAMES)}


def environment_configures(environ: Mapping[str, str]) -> bool:
    """Whether the environment describes an instance, so that no relay.toml is needed."""
    return any(
        name.startswith("RELAY_INSTANCE__") or SHORT_NAMES.get(name, ("",))[0] == "instance"
        for name in ours(environ)
    )
