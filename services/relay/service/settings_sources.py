"""Where settings come from: relay.toml and the environment, merged into one table of entries.

Nothing is judged here but names: an entry keeps its raw value and the place it came from, so that a
complaint about the value can name the file and key, or the variable, that a person has to change.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from services.relay.protocol.limits import Limits
from services.relay.service.text_files import read_text, unquoted

Key = tuple[str, ...]
"""("takaro", "url") for a section's key, ("instance", "0", "slug") for an instance's."""

KEYS: dict[str, tuple[str, ...]] = {
    "takaro": ("url", "registration_token", "proxy"),
    "redis": ("url", "replicas", "durability"),
    "modapi": (
        *("host", "port", "tls_cert", "tls_key", "trusted_proxies"),
        *("admin_host", "admin_port", "admin_token", "hold_polls_s"),
    ),
    "uplink": ("admin_host", "admin_port", "reads_per_s"),
    "limits": tuple(Limits.model_fields),
    "log": ("format",),
    "metrics": ("per_instance",),
    "alerts": ("discord_url", "webhook_url", "silent_after_s"),
    "instance": (
        *("slug", "name", "identity_token", "mod_keys", "registration_token"),
        *("log", "log_per_s"),
    ),
}
"""Every setting there is, by section."""

SECRETS = frozenset(
    {
        ("takaro", "registration_token"),
        ("takaro", "proxy"),
        ("redis", "url"),
        ("modapi", "admin_token"),
        ("alerts", "discord_url"),
        ("alerts", "webhook_url"),
        ("instance", "identity_token"),
        ("instance", "mod_keys"),
        ("instance", "registration_token"),
    }
)
"""The settings that can be read from a file of their own, named by `<key>_file`."""

LISTS = frozenset({"mod_keys", "trusted_proxies"})
"""Keys with several values: in one text they stand separated by commas, spaces or lines."""

SHORT_NAMES: dict[str, Key] = {
    "TAKARO_REGISTRATION_TOKEN": ("takaro", "registration_token"),
    "TAKARO_REGISTRATION_TOKEN_FILE": ("takaro", "registration_token_file"),
    "TAKARO_WS_URL": ("takaro", "url"),
    "TAKARO_SERVER_NAME": ("instance", "0", "name"),
    "TAKARO_IDENTITY_TOKEN": ("instance", "0", "identity_token"),
    "TAKARO_IDENTITY_TOKEN_FILE": ("instance", "0", "identity_token_file"),
    "BRIDGE_LOCAL_PORT": ("modapi", "port"),
    "BRIDGE_BIND_ADDR": ("modapi", "host"),
}
"""The short names that are enough for a single server, those of the old bridge. They fill gaps, they overrule
nothing."""

_PREFIX = "RELAY_"

_MARK = "\ufeff"
"""Stands before the first name of a file that Notepad wrote."""

_PLACEHOLDER = re.compile(r"(?i)\bpaste[\s_]|^<.*>$")
"""What relay.toml, TakaroConfig.txt and the documents have in the place of a registration token."""


@dataclass(frozen=True, slots=True)
class SettingEntry:
    """One raw value. A complaint starts with `where`; a relative `_file` is relative to `base`."""

    value: Any
    where: str
    base: Path = Path()


@dataclass(slots=True)
class Sources:
    """What was found, and what is odd about it. `blocks` counts the [[instance]] blocks of the file."""

    path: Path | None
    entries: dict[Key, SettingEntry] = field(default_factory=dict)
    blocks: int = 0
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def instances(self) -> list[str]:
        """The numbers of the instances, in order, as they stand in the keys."""
        from_environment = {int(key[1]) for key in self.entries if key[0] == "instance"}
        return [str(number) for number in sorted(from_environment.union(range(self.blocks)))]

    def place(self, key: Key) -> str:
        """How a complaint names a setting: where it was set, or where it can be."""
        if key in self.entries:
            return self.entries[key].where
        if self.path is not None and (key[0] != "instance" or int(key[1]) < self.blocks):
            return file_place(self.path, key)
        return " or ".join([env_name(key), *(name for name, short in SHORT_NAMES.items() if short == key)])


def collect(path: Path | None, environ: Mapping[str, str]) -> Sources:
    """Read relay.toml (None: there is none) and lay the environment over it."""
    found = Sources(path)
    if path is not None:
        _read_toml(path, found)
    given = _given(environ, found)
    _overlay(found, _read_relay_names(given, found))
    _fill(found, given)
    return found


def _given(environ: Mapping[str, str], found: Sources) -> dict[str, str]:
    """The variables that are set, as they are meant.

    One that is set to nothing is how compose files pass on one that is not set. `docker run --env-file`
    leaves the quotation marks around a value, and a file of Notepad's has a mark before its first name.
    """
    given = {}
    for written, value in environ.items():
        name, text = written.lstrip(_MARK), value.strip()
        if text and (name.startswith(_PREFIX) or name in SHORT_NAMES):
            given[name] = _without_quotes(name, text, found)
    return {name: text for name, text in given.items() if text}


def _without_quotes(name: str, text: str, found: Sources) -> str:
    plain = unquoted(text).strip()
    if plain == text:
        return text
    if name.upper().endswith("IDENTITY_TOKEN"):
        found.warnings.append(
            f"{name}: the quotation marks around it are a part of the identity token. Takaro knows the server"
            " by it: take them away only if Takaro has not seen it yet"
        )
        return text
    found.warnings.append(f"{name}: the quotation marks around its value are left out: write it without them")
    return plain


def leave_out_placeholders(found: Sources) -> None:
    """A registration token that nobody has filled in is none: events are kept until it is there."""
    for key, entry in list(found.entries.items()):
        if key[-1] == "registration_token" and _PLACEHOLDER.search(str(entry.value)):
            del found.entries[key]
            found.warnings.append(
                f"{entry.where}: holds no token but the words that stand in for one: paste the one of"
                " Takaro's dashboard (Settings, Game Servers, Add Game Server, Generic)"
            )


def environment_configures(environ: Mapping[str, str]) -> bool:
    """Whether the environment alone describes an instance, so that no relay.toml is needed."""
    return any(
        text.strip()
        and (name.startswith("RELAY_INSTANCE__") or SHORT_NAMES.get(name, ("",))[0] == "instance")
        for name, text in ((written.lstrip(_MARK), text) for written, text in environ.items())
    )


def file_place(path: Path, key: Key) -> str:
    """How a complaint names a key of relay.toml: people count the blocks from one."""
    section = f"[[instance]] number {int(key[1]) + 1}" if key[0] == "instance" else f"[{key[0]}]"
    return f"{path}, {section}, {key[-1]}"


def env_name(key: Key) -> str:
    """The variable that sets this key."""
    return _PREFIX + "__".join(key).upper()


def split(text: str) -> list[str]:
    """Several values in one text, separated by commas, spaces or lines."""
    return text.replace(",", " ").split()


def pair(key: Key) -> tuple[Key, Key]:
    """A setting and its `_file` form: whoever sets one of them replaces both."""
    plain = (*key[:-1], key[-1].removesuffix("_file"))
    return plain, (*plain[:-1], plain[-1] + "_file")


def _read_toml(path: Path, found: Sources) -> None:
    try:
        document = tomllib.loads(read_text(path))
    except FileNotFoundError:
        found.problems.append(f"{path}: does not exist: `dayz-relay up` writes a first one")
        return
    except OSError as error:
        found.problems.append(f"{path}: cannot be read: {error.strerror}")
        return
    except ValueError as error:  # TOMLDecodeError, or no text
        reason = _in_words(error) if isinstance(error, tomllib.TOMLDecodeError) else error
        found.problems.append(f"{path}: is not valid TOML: {reason}")
        return
    for section, content in document.items():
        if section not in KEYS:
            found.warnings.append(f"{path}: unknown section [{section}]{_nearest(section, KEYS)}")
        elif section != "instance":
            _read_table(path, (section,), content, found)
        elif isinstance(content, list):
            found.blocks = len(content)
            for number, table in enumerate(content):
                _read_table(path, (section, str(number)), table, found)
        else:
            found.problems.append(
                f"{path}: [instance] must be written [[instance]], one block per game server"
            )


def _in_words(error: tomllib.TOMLDecodeError) -> str:
    """What the parser says, and for the two slips that are made most often what they are."""
    told = str(error)
    if told.startswith("Illegal character '\\n'"):
        told += ": a quotation mark is missing at the end of this line"
    elif told.startswith("Invalid value"):
        told += ": text needs quotation marks around it"
    return told


def _read_table(path: Path, section: Key, table: Any, found: Sources) -> None:
    if not isinstance(table, dict):
        found.problems.append(
            f"{path}: {section[0]} must be a table: write [{section[0]}] on a line of its own"
        )
        return
    for name, value in table.items():
        place = file_place(path, (*section, name))
        if name in _names(section[0]):
            text = value.strip() if isinstance(value, str) else value
            found.entries[(*section, name)] = SettingEntry(text, place, path.parent)
        else:
            found.warnings.append(f"{place}: unknown key{_nearest(name, _names(section[0]))}")


def _read_relay_names(given: Mapping[str, str], found: Sources) -> dict[Key, SettingEntry]:
    entries = {}
    for name, text in given.items():
        if not name.startswith(_PREFIX):
            continue
        key = _key_of(name)
        if key is None:
            # Instances are numbered: compare with the number that was meant.
            number = re.match(r"RELAY_INSTANCE__(\d+)", name)
            known = _all_names(number.group(1) if number else "0")
            found.warnings.append(f"{name}: unknown variable{_nearest(name, known)}")
        else:
            entries[key] = SettingEntry(split(text) if key[-1] in LISTS else text, name)
    return entries


def _key_of(name: str) -> Key | None:
    parts = name.removeprefix(_PREFIX).lower().split("__")
    if len(parts) == 3 and parts[0] == "instance" and re.fullmatch(r"0|[1-9][0-9]{0,3}", parts[1]):
        return tuple(parts) if parts[2] in _names("instance") else None
    if len(parts) == 2 and parts[0] in KEYS and parts[0] != "instance":
        return tuple(parts) if parts[1] in _names(parts[0]) else None
    return None


def _overlay(found: Sources, entries: Mapping[Key, SettingEntry]) -> None:
    for key in entries:
        for form in pair(key):
            found.entries.pop(form, None)
    found.entries.update(entries)


def _fill(found: Sources, given: Mapping[str, str]) -> None:
    gaps = {
        key: SettingEntry(given[name], name)
        for name, key in SHORT_NAMES.items()
        if name in given and not found.entries.keys() & set(pair(key))
    }
    found.entries.update(gaps)
    if any(key[0] == "instance" for key in gaps):
        # Not made from the name: the slug names the data in Redis, and a server may be renamed.
        found.entries.setdefault(("instance", "0", "slug"), SettingEntry("server", "TAKARO_SERVER_NAME"))


def _names(section: str) -> list[str]:
    files = [f"{key}_file" for key in KEYS[section] if (section, key) in SECRETS]
    return [*KEYS[section], *files]


def _all_names(number: str) -> list[str]:
    return [
        env_name((section, number, key) if section == "instance" else (section, key))
        for section in KEYS
        for key in _names(section)
    ]


def _nearest(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), n=1)
    return f", did you mean {close[0]}?" if close else ": it is ignored"
