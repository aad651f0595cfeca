"""All settings: a frozen model for each section of relay.toml, and a table of the models.

settings_values.py has the types, settings_sources.py reads them, settings_names.py says what is wrong.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, SecretStr

from services.relay.protocol.errors import ConfigError
from services.relay.protocol.limits import FrozenModel, Limits, PerSecond
from services.relay.service import settings_values as types
from services.relay.store import url as redis_url

NO_INSTANCE = (
    "no instance yet: add an [[instance]] block with slug, name and identity_token to relay.toml, or run"
    " `dayz-relay instance add`"
)
"""Not an error: a panel may add instances at any time."""

REGISTRATION_TOKEN_PLACE = (
    "registration_token in relay.toml (with Compose: the file secrets/registration_token, then"
    " `docker compose restart`)"
)
IDENTITY_TOKEN_PLACE = "identity_token in relay.toml (with Compose: the file secrets/identity_token)"
"""Where a person finds these settings, for fixes."""


class Takaro(FrozenModel):
    """Takaro's connector. `registration_token` is for every instance that has none of its own."""

    url: types.WebSocketUrl = "wss://connect.takaro.io/"
    registration_token: types.Token | None = None
    proxy: types.ProxyUrl | None = None


class Redis(FrozenModel):
    """The store. Without a url `dayz-relay up` starts its own: `server`, or the Valkey that comes with it.

    `password` is that of the default user, for a url without one. Once loaded, `url` has it, too.
    `replicas`: the number of replicas that must have a batch before the mod gets 200; None: 1 with Sentinel
    or Cluster, else 0.
    `durability` "relaxed" accepts settings of Redis that can lose events.
    """

    url: types.RedisUrl | None = None
    password: types.Password | None = None
    server: str | None = None
    replicas: types.Replicas | None = None
    durability: Literal["strict", "relaxed"] = "strict"


class ModApi(FrozenModel):
    """The mods' port, the admin port with health, metrics, page and API, and the longest hold of a poll. Only
    the `X-Forwarded-For` of `trusted_proxies` counts."""

    host: types.Host = "127.0.0.1"
    port: types.Port = 8088
    public_url: types.BaseUrl | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    trusted_proxies: Annotated[tuple[types.Network, ...], types.Split] = ()
    admin_host: types.Host = "127.0.0.1"
    admin_port: types.Port = 9088
    admin_token: types.AdminToken | None = None
    hold_polls_s: types.HoldPolls = 5.0

    @property
    def loopback_only(self) -> bool:
        """Whether only this machine can call. Through a proxy, others can."""
        return types.is_loopback(self.host) and not self.trusted_proxies


class Uplink(FrozenModel):
    """The port with health and metrics of uplink, and the number of reads a second for one game server."""

    admin_host: types.Host = "127.0.0.1"
    admin_port: types.Port = 9089
    reads_per_s: types.ReadsPerSecond = 4.0


class Log(FrozenModel):
    """The form of log lines: `text` for people, `json` for programs."""

    format: Literal["text", "json"] = "text"


class MetricsSettings(FrozenModel):
    """Whether metrics have the label `instance`; if not, each is the worst, or the sum, of all instances."""

    per_instance: bool = True


class Alerts(FrozenModel):
    """The targets of alerts, and the time after which a game server counts as silent."""

    discord_url: types.WebhookUrl | None = None
    webhook_url: types.WebhookUrl | None = None
    silent_after_s: types.SilentAfter = 180.0


class Instance(FrozenModel):
    """One DayZ server. Once loaded, `registration_token` is the effective one: its own, else the fleet's.

    `log` and `log_per_s` decide how many of its log lines go to Takaro: none, all, or a number a second.
    """

    slug: types.Slug
    name: types.DisplayName
    identity_token: types.Token
    mod_keys: Annotated[tuple[types.ModKey, ...], types.Split] = ()
    registration_token: types.Token | None = None
    log: Literal["on", "off"] = "on"
    log_per_s: PerSecond | None = None


class Settings(FrozenModel):
    takaro: Takaro = Takaro()
    redis: Redis = Redis()
    modapi: ModApi = ModApi()
    uplink: Uplink = Uplink()
    limits: Limits = Limits()
    log: Log = Log()
    metrics: MetricsSettings = MetricsSettings()
    alerts: Alerts = Alerts()
    instances: tuple[Instance, ...] = ()


SECTIONS: dict[str, type[BaseModel]] = {
    name: type(field.default) for name, field in Settings.model_fields.items() if name != "instances"
} | {"instance": Instance}
"""The model of each section of relay.toml."""

KEYS = {section: tuple(model.model_fields) for section, model in SECTIONS.items()}
"""Every setting, by section."""


def _holds_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(_holds_secret, get_args(annotation)))


SECRETS = frozenset(
    (section, key)
    for section, model in SECTIONS.items()
    for key, field in model.model_fields.items()
    if _holds_secret(field.annotation)
)
"""The settings that can be read from a file of their own, which `<key>_file` names."""


class Loaded(NamedTuple):
    """Settings, the warnings about them, one line each, and the files that hold their secrets."""

    settings: Settings
    warnings: tuple[str, ...]
    secret_files: tuple[Path, ...]


def load(path: Path | None, environ: Mapping[str, str], text: str | None = None) -> Loaded:
    """Settings from relay.toml (None: there is none) and the environment, which overrides the file.

    `text` counts in place of what is in the file. Raises ConfigError with one line per problem, which has
    the place, the rule and no secret.
    """
    from services.relay.service.settings_sources import read  # pydantic-settings is slow to import

    settings, found = read(path, environ, text)
    if settings is None or found.problems:
        raise ConfigError("\n".join(dict.fromkeys(found.problems)))
    return Loaded(settings, tuple(found.warnings), tuple(dict.fromkeys(found.secret_files)))


def masked(settings: Settings) -> dict[str, Any]:
    """The settings in the shape of relay.toml. Of each secret only the length is shown."""
    shown: dict[str, Any] = json.loads(
        json.dumps(settings.model_dump(), default=lambda secret: f"set ({len(secret)} characters)")
    )
    shown["instance"] = shown.pop("instances")
    if url := settings.redis.url:
        shown["redis"]["url"] = redis_url.masked(url.get_secret_value())
    return shown
