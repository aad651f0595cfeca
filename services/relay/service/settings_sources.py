"""Where settings come from: the environment, then relay.toml, then the variables of the old bridge.

pydantic-settings merges the sources in this order and checks the values. It has no places for complaints, no
`_file` keys, no warnings about unknown names and no numbered instances. Those are added here, most of them in
`_settled`, through which the values of each source go.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, SettingsConfigDict

from services.relay.service import settings_names as names
from services.relay.service.settings import KEYS, SECRETS, Instance, Redis, Settings
from services.relay.service.settings_names import SHORT_NAMES, Findings, Key
from services.relay.service.text_files import read_text, unquoted, why_unreadable
from services.relay.store import url as redis_url

Tables = dict[str, Any]
"""The raw values of each section by their keys. "instance" has a table for each instance, by its number."""

PATHS = frozenset({("modapi", "tls_cert"), ("modapi", "tls_key"), ("redis", "server")})
"""The settings that are paths: in relay.toml they are relative to that file."""

_PLACEHOLDER = re.compile(
    r"(?i)\bpaste[\s_]|^<.*>$|\bfrom[\s_-](?:the|takaro's)[\s_-]dashboard\b|^(?:your|insert|enter|replace|change)[\s_-]"
    r"|[\s_-]here$|^(?:changeme|todo|none|null|x{3,}|\W+)$"
)
"""Texts that relay.toml, TakaroConfig.txt, examples and people have in place of a registration token."""


class _Sources(Settings, BaseSettings):
    """The merged values of all sources. `Settings` itself never reads the environment."""

    model_config = SettingsConfigDict(enable_decoding=False)
    instance: dict[str, Instance] = {}


def read(
    path: Path | None, environ: Mapping[str, str], text: str | None = None
) -> tuple[Settings | None, Findings]:
    """The settings, or None if something is wrong, and all findings. The arguments are those of `load`."""
    found = Findings(path)
    quoted = names.ours(environ).items()
    variables = {name: plain for name, text in quoted if (plain := _without_quotes(name, name, text, found))}
    tables = [
        _settled(_from_environment(found, variables), found),
        _settled(_from_file(found, path, text), found) if path else {},
        _settled(_from_short_names(found, variables), found),
    ]
    if first := tables[-1]["instance"].get("0"):
        # Not made from the name: the slug names the data in Redis, and a server may be renamed.
        first["slug"] = "server"
        found.places.setdefault(("instance", "0", "slug"), "TAKARO_SERVER_NAME")
    sources = tuple(InitSettingsSource(_Sources, one) for one in tables)
    try:
        merged = _Sources(_build_sources=(sources, {}))  # type: ignore[call-arg]  # unknown to mypy
    except ValidationError as error:
        if not found.problems:  # otherwise a file that cannot be read would also count as a missing setting
            found.add(error)
    if found.problems:
        return None, found
    numbers = sorted(merged.instance, key=int)
    sections = {name: getattr(merged, name) for name in Settings.model_fields}
    sections["redis"] = _with_password(merged.redis, found)
    fleets = {"registration_token": merged.takaro.registration_token}
    instances = [merged.instance[number] for number in numbers]
    sections["instances"] = [
        one if one.registration_token else one.model_copy(update=fleets) for one in instances
    ]
    settings = Settings(**sections)
    names.check_together(found, settings, numbers)
    return settings, found


def _with_password(redis: Redis, found: Findings) -> Redis:
    if redis.password is None:
        return redis
    place = found.place(("redis", "password"))
    if redis.url is None:
        found.problems.append(f"{place}: is set without redis.url: it is the password of that Redis")
        return redis
    try:
        url = redis_url.with_password(redis.url.get_secret_value(), redis.password.get_secret_value())
        return redis.model_copy(update={"url": SecretStr(url)})
    except ValueError as error:
        found.problems.append(f"{place}: {error}")
        return redis


class _Given(NamedTuple):
    """One value as it is written, how a complaint names it, and its file; None: a variable has it."""

    key: Key
    value: Any
    place: str
    file: Path | None = None


def _from_environment(found: Findings, variables: Mapping[str, str]) -> Iterator[_Given]:
    for name, text in variables.items():
        known = names.known_variables(name)
        if name.upper() in known:
            yield _Given(tuple(name.removeprefix(names.PREFIX).lower().split("__")), text, name)
        elif name not in SHORT_NAMES:
            found.warnings.append(f"{name}: unknown variable{names.nearest(name, known)}")


def _from_short_names(found: Findings, variables: Mapping[str, str]) -> Iterator[_Given]:
    if found.blocks and "TAKARO_SERVER_NAME" in variables:
        found.warnings.append(
            "TAKARO_SERVER_NAME: that server is not served, because"
            f" {found.path} has [[instance]] blocks: add one for it there, or empty this variable"
        )
    for name, key in SHORT_NAMES.items():
        if name in variables:
            yield _Given(key, variables[name], name)


def _from_file(found: Findings, path: Path, text: str | None) -> Iterator[_Given]:
    for section, content in _parsed(path, text, found).items():
        blocks = content if section == "instance" else [content]
        if section not in KEYS:
            found.warnings.append(f"{path}: unknown section [{section}]{names.nearest(section, KEYS)}")
            continue
        if not isinstance(blocks, list):
            found.problems.append(
                f"{path}: [instance] must be written [[instance]], one block per game server"
            )
            continue
        if not all(isinstance(block, dict) for block in blocks):
            found.problems.append(
                f"{path}: {section} must be a table: write [{section}] on a line of its own"
            )
            continue
        if section == "instance":
            found.blocks = len(blocks)
        for number, block in enumerate(blocks):
            table = (section, str(number)) if section == "instance" else (section,)
            for name, value in block.items():
                key = (*table, name)
                yield _Given(key, value, names.file_place(path, key), path)


def _settled(given: Iterable[_Given], found: Findings) -> Tables:
    """The values without those of earlier sources, and with the texts of the files of `_file` keys."""
    before, given = frozenset(found.places), list(given)
    keys = {one.key for one in given}
    # An [[instance]] block is an instance even if it is empty.
    tables: Tables = {"instance": {str(number): {} for number in range(found.blocks)}}
    for one in given:
        *sections, name = one.key
        key = (*sections, name.removesuffix("_file"))
        if name not in names.keys_of(sections[0]):
            found.warnings.append(
                f"{one.place}: unknown key{names.nearest(name, names.keys_of(sections[0]))}"
            )
            continue
        if key in before:
            continue
        if key != one.key and key in keys:
            found.problems.append(f"{one.place}: {key[-1]} is set as well: keep one of the two")
            continue
        if (value := _value(one, key, found)) is not None:
            table = tables
            for section in sections:
                table = table.setdefault(section, {})
            table[key[-1]] = value
    return tables


def _value(given: _Given, key: Key, found: Findings) -> Any:
    """The value of the setting `key`; None: it counts as not set."""
    value, place, name, file = given.value, given.place, key[-1], given.file
    value = value.strip() if isinstance(value, str) else value
    if key != given.key or (key[0], name) in PATHS:
        file = (given.file.parent if given.file else Path()) / str(value)
        value = str(file) if key == given.key else _text_of(file, name, place, found)
        if not value:
            # A variable that names an empty file is not set, like an empty variable.
            if given.file and value is not None:
                found.problems.append(f"{place}: {file} is empty: write the value of {name} into it")
            return None
    if file and ((key[0], name) in SECRETS or name == "tls_key"):
        found.secret_files.append(file)
    found.places[key] = place
    if name == "registration_token" and _PLACEHOLDER.search(str(value)):
        # It counts as not set: events are kept until the token is there.
        found.warnings.append(
            f"{place}: holds no token but the words that stand in for one: paste the one of"
            " Takaro's dashboard (Settings, Game Servers, Add Game Server, Generic)"
        )
        return None
    return value


def _text_of(file: Path, name: str, where: str, found: Findings) -> str | None:
    """None if the file cannot be read, which is a problem."""
    try:
        text = read_text(file).strip()
    except (OSError, ValueError) as error:  # ValueError: it is not text, or there can be no such path
        found.problems.append(f"{where}: {file} cannot be read: {why_unreadable(file, error)}")
        return None
    return _without_quotes(str(file), name, text, found)


def _parsed(path: Path, text: str | None, found: Findings) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(path) if text is None else text)
    except FileNotFoundError:
        found.problems.append(f"{path}: does not exist: `dayz-relay up` writes a first one")
    except OSError as error:
        found.problems.append(f"{path}: cannot be read: {why_unreadable(path, error)}")
    except ValueError as error:  # TOMLDecodeError, or it is not text
        reason = str(error)
        if reason.startswith("Illegal character '\\n'"):
            reason += ": a quotation mark is missing at the end of this line"
        elif reason.startswith("Invalid value"):
            reason += ': text needs straight quotation marks around it, as in "text"'
        found.problems.append(f"{path}: is not valid TOML: {reason}")
    return {}


def _without_quotes(where: str, name: str, text: str, found: Findings) -> str:
    """`docker run --env-file` leaves the quotation marks around a value, and people write them into files."""
    plain = unquoted(text).strip()
    if plain == text or name.upper().endswith("PASSWORD"):
        return text
    if name.upper().endswith("IDENTITY_TOKEN"):
        found.warnings.append(
            f"{where}: the quotation marks around it are a part of the identity token. Takaro knows the"
            " server by it: take them away only if Takaro has not seen it yet"
        )
        return text
    found.warnings.append(
        f"{where}: the quotation marks around its value are left out: write it without them"
    )
    return plain
