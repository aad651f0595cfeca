"""Complaints about settings: the place, what is wrong, and the fix; never a secret."""

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from services.relay.service.settings import Settings
from services.relay.service.settings_names import SHORT_NAMES, Key, env_name, file_place
from services.relay.service.settings_values import is_loopback


@dataclass(slots=True)
class Findings:
    """Problems and warnings found while reading the settings. A problem stops the relay, a warning does not.

    `blocks` is the number of [[instance]] blocks in the file at `path`. `secret_files` are the files that
    hold secrets.
    """

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
            location = tuple(map(str, detail["loc"]))
            key = location[: 3 if location[0] == "instance" else 2]
            self.problems.append(f"{self.place(key)}: {_words(detail)}")


def _words(detail: ErrorDetails) -> str:
    if detail["type"] == "missing":
        return "is missing: every instance needs one"
    return detail["msg"].removeprefix("Value error, ").replace("Input should be", "must be")


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
