"""The settings of the relay: typed, frozen, judged whole before anything starts.

`load` is pure but for reading relay.toml and the files that `_file` keys name. Every complaint names
the place, what is wrong and the fix; no complaint and no repr ever holds a secret.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from services.relay.protocol.errors import ConfigError
from services.relay.protocol.limits import Limits, PerSecond
from services.relay.service.settings_sources import (
    KEYS,
    LISTS,
    Key,
    SettingEntry,
    Sources,
    collect,
    leave_out_placeholders,
    pair,
    split,
)
from services.relay.service.settings_values import (
    AdminToken,
    DisplayName,
    HoldPolls,
    Host,
    ModKey,
    Network,
    Port,
    ProxyUrl,
    ReadsPerSecond,
    RedisUrl,
    Replicas,
    SilentAfter,
    Slug,
    Token,
    WebhookUrl,
    WebSocketUrl,
    is_loopback,
    mask,
    mask_url,
)
from services.relay.service.text_files import read_text

NO_INSTANCE = (
    "no instance yet: add an [[instance]] block with slug, name and identity_token to relay.toml, or run"
    " `dayz-relay instance add`"
)
"""What a person has to do when there is none. No error: a panel may add instances at any time."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Takaro(_Frozen):
    """Takaro's connector. `registration_token` serves every instance that has none of its own."""

    url: WebSocketUrl = "wss://connect.takaro.io/"
    registration_token: Token | None = None
    proxy: ProxyUrl | None = None


class Redis(_Frozen):
    """The store. Without a url `dayz-relay up` starts its own.

    `replicas` must have a batch before the mod's 200; None: 1 with Sentinel or Cluster, else 0.
    `durability` "relaxed" accepts what the settings of Redis can lose.
    """

    url: RedisUrl | None = None
    replicas: Replicas | None = None
    durability: Literal["strict", "relaxed"] = "strict"


class ModApi(_Frozen):
    """Where the mods call; where health, metrics, page and admin API are; how long a poll is held at most.

    `trusted_proxies` are believed when they say for whom they ask.
    """

    host: Host = "127.0.0.1"
    port: Port = 8088
    tls_cert: str | None = None
    tls_key: str | None = None
    trusted_proxies: tuple[Network, ...] = ()
    admin_host: Host = "127.0.0.1"
    admin_port: Port = 9088
    admin_token: AdminToken | None = None
    hold_polls_s: HoldPolls = 5.0

    @property
    def loopback_only(self) -> bool:
        """Can only this machine call? Through a proxy anyone can."""
        return is_loopback(self.host) and not self.trusted_proxies


class Uplink(_Frozen):
    """Where health and metrics of uplink are, and how many reads a second one game server is asked for."""

    admin_host: Host = "127.0.0.1"
    admin_port: Port = 9089
    reads_per_s: ReadsPerSecond = 4.0


class Log(_Frozen):
    """How the services write their log: `text` for people, `json` for programs."""

    format: Literal["text", "json"] = "text"


class MetricsSettings(_Frozen):
    """Whether metrics tell instances apart; if not, each shows the worst of all instances, or their sum."""

    per_instance: bool = True


class Alerts(_Frozen):
    """Where people are told when a server is silent, refused by Takaro or behind, and how long is silent."""

    discord_url: WebhookUrl | None = None
    webhook_url: WebhookUrl | None = None
    silent_after_s: SilentAfter = 180.0


class Instance(_Frozen):
    """One DayZ server. `registration_token` is the effective one: its own, else the fleet's.

    Of its log lines none, all, or `log_per_s` go on to Takaro.
    """

    slug: Slug
    name: DisplayName
    identity_token: Token
    mod_keys: tuple[ModKey, ...] = ()
    registration_token: Token | None = None
    log: Literal["on", "off"] = "on"
    log_per_s: PerSecond | None = None


class Settings(_Frozen):
    """Everything the services are told."""

    takaro: Takaro = Takaro()
    redis: Redis = Redis()
    modapi: ModApi = ModApi()
    uplink: Uplink = Uplink()
    limits: Limits = Limits()
    log: Log = Log()
    metrics: MetricsSettings = MetricsSettings()
    alerts: Alerts = Alerts()
    instances: tuple[Instance, ...] = ()


class Loaded(NamedTuple):
    """Settings, and what a person should hear about them (unknown names, one line each)."""

    settings: Settings
    warnings: tuple[str, ...]


def load(path: Path | None, environ: Mapping[str, str]) -> Loaded:
    """Settings from relay.toml (None: there is none) and the environment, which beats the file.

    Raises ConfigError with one line per problem.
    """
    found = collect(path, environ)
    _read_secret_files(found)
    leave_out_placeholders(found)
    _find_files(found)
    settings = None if found.problems else _build(found)
    if settings is not None:
        _judge_whole(found, settings)
    if settings is None or found.problems:
        raise ConfigError("\n".join(dict.fromkeys(found.problems)))
    return Loaded(settings, tuple(found.warnings))


def masked(settings: Settings) -> dict[str, Any]:
    """The settings in the shape of relay.toml, with each secret replaced by its length."""
    shown: dict[str, Any] = {
        name: getattr(settings, name).model_dump() for name in KEYS if name != "instance"
    }
    shown["takaro"]["registration_token"] = mask(settings.takaro.registration_token)
    shown["takaro"]["proxy"] = mask(settings.takaro.proxy)
    shown["redis"]["url"] = mask_url(settings.redis.url)
    shown["modapi"]["admin_token"] = mask(settings.modapi.admin_token)
    for name in ("discord_url", "webhook_url"):
        shown["alerts"][name] = mask(getattr(settings.alerts, name))
    shown["instance"] = [
        instance.model_dump()
        | {
            "identity_token": mask(instance.identity_token),
            "mod_keys": [mask(key) for key in instance.mod_keys],
            "registration_token": mask(instance.registration_token),
        }
        for instance in settings.instances
    ]
    return shown


def _read_secret_files(found: Sources) -> None:
    """Replace every `<key>_file` entry by the `<key>` that is in the file."""
    for key in [key for key in found.entries if key[-1].endswith("_file")]:
        entry = found.entries.pop(key)
        plain, _ = pair(key)
        if plain in found.entries:
            found.problems.append(f"{entry.where}: {plain[-1]} is set as well: keep one of the two")
            continue
        file = entry.base / str(entry.value)
        try:
            text = read_text(file).strip()
        except (OSError, ValueError) as error:  # ValueError: no text, or no possible path
            reason = getattr(error, "strerror", None) or error
            found.problems.append(f"{entry.where}: {file} cannot be read: {reason}")
            continue
        if not text:
            found.problems.append(f"{entry.where}: {file} is empty: write the value of {plain[-1]} into it")
        found.entries[plain] = SettingEntry(split(text) if plain[-1] in LISTS else text, entry.where)


def _find_files(found: Sources) -> None:
    """Paths in relay.toml are relative to it."""
    for key in (("modapi", "tls_cert"), ("modapi", "tls_key")):
        if entry := found.entries.get(key):
            found.entries[key] = replace(entry, value=str(entry.base / str(entry.value)))


def _build(found: Sources) -> Settings | None:
    numbers = found.instances()
    document: dict[str, Any] = {name: _table(found, (name,)) for name in KEYS if name != "instance"}
    document["instances"] = [_table(found, ("instance", number)) for number in numbers]
    try:
        settings = Settings.model_validate(document)
    except ValidationError as error:
        # pydantic's error holds what was put in, secrets too: its words go on, the error does not.
        for problem in error.errors(include_input=False, include_context=False, include_url=False):
            location = tuple(str(part) for part in problem["loc"])
            if location[0] == "instances":
                location = ("instance", numbers[int(location[1])], *location[2:])
            key = location[:3] if location[0] == "instance" else location[:2]
            found.problems.append(f"{found.place(key)}: {_words(problem)}")
        return None
    fleet_token = settings.takaro.registration_token
    return settings.model_copy(
        update={
            "instances": tuple(
                instance
                if instance.registration_token
                else instance.model_copy(update={"registration_token": fleet_token})
                for instance in settings.instances
            )
        }
    )


def _table(found: Sources, section: Key) -> dict[str, Any]:
    return {key[-1]: entry.value for key, entry in found.entries.items() if key[:-1] == section}


def _words(problem: ErrorDetails) -> str:
    if problem["type"] == "missing":
        return "is missing: every instance needs one"
    return problem["msg"].removeprefix("Value error, ").replace("Input should be", "must be")


def _judge_whole(found: Sources, settings: Settings) -> None:
    """The rules that no single value can break."""
    keys = [("instance", number) for number in found.instances()]
    seen: dict[tuple[str, str], str] = {}
    for key, instance in zip(keys, settings.instances, strict=True):
        unique = [
            ("slug", instance.slug),
            ("identity_token", instance.identity_token.get_secret_value()),
            *(("mod_keys", mod_key.get_secret_value()) for mod_key in instance.mod_keys),
        ]
        for name, text in unique:
            if (name, text) in seen:
                found.problems.append(
                    f"{found.place((*key, name))}: holds what {seen[name, text]} holds: it must be unique"
                )
            seen.setdefault((name, text), found.place((*key, name)))
    if (settings.modapi.tls_cert is None) != (settings.modapi.tls_key is None):
        missing = "tls_key" if settings.modapi.tls_cert else "tls_cert"
        found.problems.append(
            f"{found.place(('modapi', missing))}: is missing: for TLS both tls_cert and tls_key are needed"
        )
    _judge_open_doors(
        found, settings, [found.place((*key, "mod_keys")) for key in keys], found.place(("modapi", "host"))
    )


def _judge_open_doors(found: Sources, settings: Settings, places: list[str], host_place: str) -> None:
    """Without a secret only loopback is served, and only one instance can be meant."""
    if not is_loopback(settings.modapi.host):
        reason = f"{host_place} lets other machines in: give the instance a key, or serve 127.0.0.1 only"
    elif settings.modapi.trusted_proxies:
        reason = "trusted_proxies lets other machines in: give the instance a key"
    elif len(settings.instances) > 1:
        reason = "only a single instance can do without a key: its mod could be any of them"
    else:
        return
    found.problems += [
        f"{place}: is missing, and {reason}"
        for place, instance in zip(places, settings.instances, strict=True)
        if not instance.mod_keys
    ]
