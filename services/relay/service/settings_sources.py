"""Where settings come from: the environment, then relay.toml, then the variables of the old bridge.

pydantic-settings asks the sources in this order, splits the names of variables, merges the tables and checks
them. It has no places for complaints, no `_file` keys, no warnings about unknown names and no numbered
instances. Those are added here, most of them in `_settle`, through which the tables of each source go.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, InitSettingsSource, SettingsConfigDict

from services.relay.service.settings import KEYS, SECRETS, Instance, Redis, Settings
from services.relay.service.settings_complaints import Findings, check_together
from services.relay.service.settings_names import (
    PREFIX,
    SHORT_NAMES,
    Key,
    env_name,
    file_place,
    key_of,
    keys_of,
    known_variables,
    nearest,
    ours,
)
from services.relay.service.text_files import read_text, unquoted, why_unreadable
from services.relay.store import url as redis_url

Tables = dict[str, Any]
"""The raw values of each section by their keys. "instance" has a table for each instance, by its number."""

PATHS = frozenset({("modapi", "tls_cert"), ("modapi", "tls_key"), ("redis", "server")})
"""The settings that are paths: in relay.toml they are relative to that file."""

_PLACEHOLDER = re.compile(
    r"(?i)\bpaste[\s_]|^<.*>$|\bfrom[\s_-]the[\s_-]dashboard\b|^(?:your|insert|enter|replace|change)[\s_-]"
    r"|[\s_-]here$|^(?:changeme|todo|none|null|x{3,}|\W+)$"
)
"""Texts that relay.toml, TakaroConfig.txt, examples and people have in place of a registration token."""


class _Sources(Settings, BaseSettings):
    """The merged values of all sources. `Settings` itself never reads the environment."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", enable_decoding=False)
    instance: dict[str, Instance] = {}


def read(path: Path | None, environ: Mapping[str, str]) -> tuple[Settings | None, Findings]:
    """The settings, or None if something is wrong, and all findings. The arguments are those of `load`."""
    found = Findings(path)
    variables = {name: _without_quotes(name, name, text, found) for name, text in ours(environ).items()}
    variables = {name: text for name, text in variables.items() if text}
    sources = (_Environment(found, variables), _RelayToml(found), _ShortNames(found, variables))
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
    sections["instances"] = [_with_token(merged.instance[number], merged) for number in numbers]
    settings = Settings(**sections)
    check_together(found, settings, numbers)
    return settings, found


def _with_token(instance: Instance, settings: Settings) -> Instance:
    if instance.registration_token:
        return instance
    return instance.model_copy(update={"registration_token": settings.takaro.registration_token})


def _with_password(redis: Redis, found: Findings) -> Redis:
    if redis.password is None:
        return redis
    place = found.place(("redis", "password"))
    if redis.url is None:
        found.problems.append(f"{place}: is set without redis.url: it is the password of that Redis")
        return redis
    try:
        url = redis_url.with_password(redis.url.get_secret_value(), redis.password.get_secret_value())
    except ValueError as error:
        found.problems.append(f"{place}: {error}")
        return redis
    return redis.model_copy(update={"url": SecretStr(url)})


class _Environment(EnvSettingsSource):
    """`RELAY_<SECTION>__<KEY>` and `RELAY_INSTANCE__<NUMBER>__<KEY>`."""

    def __init__(self, found: Findings, variables: Mapping[str, str]) -> None:
        self._found, self._variables, self._names = found, variables, self._names_of(found, variables)
        super().__init__(_Sources)

    def _names_of(self, found: Findings, variables: Mapping[str, str]) -> dict[Key, str]:
        """The variables of this source by the settings that they set."""
        names = {}
        for name in variables:
            known = known_variables(name)
            if name.upper() in known:
                names[key_of(name)] = name
            elif name not in SHORT_NAMES:
                found.warnings.append(f"{name}: unknown variable{nearest(name, known)}")
        return names

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {env_name(key).lower(): self._variables[name] for key, name in self._names.items()}

    def __call__(self) -> Tables:
        return _settle(super().__call__(), self._found, self._names.__getitem__)


class _ShortNames(_Environment):
    """The variables of the old bridge."""

    def _names_of(self, found: Findings, variables: Mapping[str, str]) -> dict[Key, str]:
        return {key: name for name, key in SHORT_NAMES.items() if name in variables}

    def __call__(self) -> Tables:
        tables = super().__call__()
        if self._found.blocks and "TAKARO_SERVER_NAME" in self._variables:
            self._found.warnings.append(
                "TAKARO_SERVER_NAME: that server is not served, because"
                f" {self._found.path} has [[instance]] blocks: add one for it there, or empty this variable"
            )
        if first := tables["instance"].get("0"):
            # Not made from the name: the slug names the data in Redis, and a server may be renamed.
            first["slug"] = "server"
            self._found.places.setdefault(("instance", "0", "slug"), "TAKARO_SERVER_NAME")
        return tables


class _RelayToml(InitSettingsSource):
    """relay.toml, if there is one."""

    def __init__(self, found: Findings) -> None:
        self._found = found
        super().__init__(_Sources, _tables(found.path, found) if found.path else {})

    def __call__(self) -> Tables:
        path = self._found.path or Path()
        return _settle(super().__call__(), self._found, lambda key: file_place(path, key), path)


def _tables(path: Path, found: Findings) -> Tables:
    tables: Tables = {}
    for section, content in _parsed(path, found).items():
        blocks = content if section == "instance" else [content]
        if section not in KEYS:
            found.warnings.append(f"{path}: unknown section [{section}]{nearest(section, KEYS)}")
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
            content = {str(number): block for number, block in enumerate(blocks)}
        tables[section] = content
    return tables


def _settle(tables: Tables, found: Findings, place: Callable[[Key], str], path: Path | None = None) -> Tables:
    """The tables without keys that an earlier source has, and with the texts of the files of `_file` keys.

    `place` is how a complaint names a key. `path` is the file that has the tables; None: variables have them.
    """
    before = frozenset(found.places)

    def settled(section: Key, table: dict[str, Any]) -> dict[str, Any]:
        left: dict[str, Any] = {}
        for key, value in table.items():
            name, where, file = key.removesuffix("_file"), place((*section, key)), path
            value = value.strip() if isinstance(value, str) else value
            if key not in keys_of(section[0]):
                found.warnings.append(f"{where}: unknown key{nearest(key, keys_of(section[0]))}")
                continue
            if (*section, name) in before:
                continue
            if key != name and name in table:
                found.problems.append(f"{where}: {name} is set as well: keep one of the two")
                continue
            if key != name or (section[0], name) in PATHS:
                file = (path.parent if path else Path()) / str(value)
                value = str(file) if key == name else _text_of(file, name, where, found)
                if not value:
                    # A variable that names an empty file is not set, like an empty variable.
                    if path and value is not None:
                        found.problems.append(f"{where}: {file} is empty: write the value of {name} into it")
                    continue
            if file and ((section[0], name) in SECRETS or name == "tls_key"):
                found.secret_files.append(file)
            found.places[*section, name] = where
            if name == "registration_token" and _PLACEHOLDER.search(str(value)):
                # It counts as not set: events are kept until the token is there.
                found.warnings.append(
                    f"{where}: holds no token but the words that stand in for one: paste the one of"
                    " Takaro's dashboard (Settings, Game Servers, Add Game Server, Generic)"
                )
                continue
            left[name] = value
        return left

    blocks = tables.pop("instance", {})
    instances = {number: settled(("instance", number), block) for number, block in blocks.items()}
    if not path:  # an [[instance]] block is an instance even if it is empty, a number is not
        instances = {number: block for number, block in instances.items() if block}
    return {name: settled((name,), table) for name, table in tables.items()} | {"instance": instances}


def _text_of(file: Path, name: str, where: str, found: Findings) -> str | None:
    """None if the file cannot be read, which is a problem."""
    try:
        text = read_text(file).strip()
    except (OSError, ValueError) as error:  # ValueError: it is not text, or there can be no such path
        found.problems.append(f"{where}: {file} cannot be read: {why_unreadable(file, error)}")
        return None
    return _without_quotes(str(file), name, text, found)


def _parsed(path: Path, found: Findings) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(path))
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
