"""The names of settings, and complaints about them: the place, what is wrong, and the fix; never a secret."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from pydantic import ValidationError

from services.relay.protocol.errors import in_our_words
from services.relay.service.settings import KEYS, SECRETS, Settings
from services.relay.service.settings_values import is_loopback

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
    return PREFIX + "__".join(key).upper()


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
    close = get_close_matches(name, known, n=1)
    return f", did you mean {close[0]}?" if close else ": it is ignored"


def ours(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that are set and may be for the relay. Compose passes an unset variable on as "". Notepad
    writes a mark before the first name of a file."""
    given = ((name.lstrip("\ufeff"), text.strip()) for name, text in environ.items())
    return {name: text for name, text in given if text and (name.startswith(PREFIX) or name in SHORT_NAMES)}


def environment_configures(environ: Mapping[str, str]) -> bool:
    """Whether the environment describes an instance, so that no relay.toml is needed."""
    return any(
        name.startswith("RELAY_INSTANCE__") or SHORT_NAMES.get(name, ("",))[0] == "instance"
        for name in ours(environ)
    )


@dataclass(slots=True)
class Findings:
    """Problems, which stop the relay, and warnings found while reading the settings, and the files that hold
    secrets. `blocks` is the number of [[instance]] blocks in the file at `path`."""

    path: Path | None
    blocks: int = 0
    places: dict[Key, str] = field(default_factory=dict)
    secret_files: list[Path] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def place(self, key: Key) -> str:
        """How a complaint names a setting: where it is set, or where it can be set."""
        if key in self.places:
            return self.places[key]
        if self.path is not None and (key[0] != "instance" or int(key[1]) < self.blocks):
            return file_place(self.path, key)
        return " or ".join([env_name(key), *(name for name, short in SHORT_NAMES.items() if short == key)])

    def add(self, error: ValidationError) -> None:
        """Adds one problem for each wrong value. The error has the values, so it must not be passed on."""
        for detail in error.errors(include_input=False, include_context=False, include_url=False):
            key = tuple(map(str, detail["loc"]))[: 3 if detail["loc"][0] == "instance" else 2]
            is_missing = detail["type"] == "missing"
            words = "is missing: every instance needs one" if is_missing else in_our_words(detail["msg"])
            self.problems.append(f"{self.place(key)}: {words}")


def check_together(found: Findings, settings: Settings, numbers: list[str]) -> None:
    """Adds the problems of values that do not go together. `numbers` are those of the instances."""
    instances = list(zip(numbers, settings.instances, strict=True))
    seen: dict[tuple[str, str], str] = {}
    for number, instance in instances:
        unique = [
            ("slug", instance.slug),
            ("identity_token", instance.identity_token.get_secret_value()),
            *(("mod_keys", key.get_secret_value()) for key in instance.mod_keys),
        ]
        for value in unique:
            place = found.place(("instance", number, value[0]))
            if first := seen.get(value):
                found.problems.append(f"{place}: holds what {first} holds: it must be unique")
            seen.setdefault(value, place)
    if (settings.modapi.tls_cert is None) != (settings.modapi.tls_key is None):
        place = found.place(("modapi", "tls_key" if settings.modapi.tls_cert else "tls_cert"))
        found.problems.append(f"{place}: is missing: for TLS both tls_cert and tls_key are needed")
    if reason := _why_keys_are_needed(found, settings):
        found.problems += [
            f"{found.place(('instance', number, 'mod_keys'))}: is missing, and {reason}"
            for number, instance in instances
            if not instance.mod_keys
        ]


def _why_keys_are_needed(found: Findings, settings: Settings) -> str:
    """Why each instance needs a mod key; "": there is only one, and only this machine can call."""
    if not is_loopback(settings.modapi.host):
        place = found.place(("modapi", "host"))
        return f"{place} lets other machines in: give the instance a key, or serve 127.0.0.1 only"
    if settings.modapi.trusted_proxies:
        return "trusted_proxies lets other machines in: give the instance a key"
    if len(settings.instances) > 1:
        return (
            "only a single instance can do without a key: its mod could be any of them."
            " `dayz-relay token new` makes a key; its mod needs it, too"
        )
    return ""
