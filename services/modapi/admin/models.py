"""The bodies and answers of the admin API."""

from datetime import UTC, datetime
from enum import StrEnum, unique
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from services.modapi.fleet.rows import ServerState
from services.relay.instances.diagnosis import ProblemCode
from services.relay.instances.facts import ServerCause
from services.relay.instances.records import ExternalId
from services.relay.instances.registry import OVERLAP_S
from services.relay.protocol.vocabulary import Origin
from services.relay.service.settings_values import DisplayName, Slug, Token


class Body(BaseModel):
    """The body of a call. An unknown field is refused: it may be a misspelt one."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


ServerName = Annotated[
    DisplayName, BeforeValidator(lambda value: value.strip() if isinstance(value, str) else value)
]
"""Takaro keeps a name for ever, so one that was pasted loses the white space around it."""


class Shown(BaseModel):
    """The answer of a call, read from the attributes of an object of the relay."""

    model_config = ConfigDict(from_attributes=True)


def utc(at_ms: int) -> datetime:
    """A time in ms since 1970."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)


Moment = Annotated[datetime, BeforeValidator(utc)]  # given in ms since 1970

KnownMoment = Annotated[datetime | None, BeforeValidator(lambda at_ms: utc(at_ms) if at_ms else None)]
"""The same; None and 0 mean that it is not known."""


class NewServer(Body):
    """A server to add. Without an identity token it gets a new one: Takaro sees a new server then."""

    slug: Slug = Field(examples=["livonia"], description="names it in all calls; never changes")
    name: ServerName = Field(examples=["Livonia PvE"], description="Takaro reads it once")
    identity_token: Token | None = None
    registration_token: Annotated[
        Token | None, Field(description="its own; without one that of [takaro] in relay.toml is used")
    ] = None
    external_id: Annotated[ExternalId | None, Field(description="your own id of it")] = None
    disabled: bool = False


class ServerChange(Body):
    """The fields to change; all others stay. `null` takes a token or an external id away."""

    name: ServerName | None = None
    registration_token: Token | None = None
    external_id: ExternalId | None = None
    disabled: bool | None = None


class Rotation(Body):
    """How long the key before the new one still works, and whether an older one may end now."""

    overlap_s: Annotated[
        float, Field(ge=0, le=90 * 24 * 3600, description="seconds for which the key before still works")
    ] = OVERLAP_S
    force: Annotated[
        bool, Field(description="also while an earlier rotation runs (else 409): its old key ends now")
    ] = False


class ServerProblem(Shown):
    """Something that is wrong with a server, and how to mend it."""

    code: ProblemCode
    serious: bool = Field(description="whether it keeps the server from being up")
    text: str = Field(validation_alias="what", examples=["its mod has never called"])
    fix: str


class ModKeyDates(Shown):
    """The dates of a mod key; null: unknown, as for the keys of relay.toml, or without an end."""

    added: KnownMoment = Field(validation_alias="added_ms")
    expires: KnownMoment = Field(validation_alias="expires_ms")


class ServerLink(BaseModel):
    """The link to Takaro."""

    state: str = Field(description='"" if there was none yet', examples=["ready"])
    why: str = Field(description='what is wrong with it, or ""')
    game_server_id: str | None = Field(description="the server's id at Takaro")
    owner: str = Field(description='name of the uplink that serves it, or ""')


class ServerMod(BaseModel):
    """What is known of the mod in the game server."""

    last_contact: KnownMoment = Field(description="when it was last heard of, to within some seconds")
    silent_s: float | None = Field(description="seconds since then")
    version: str = Field(description='"" until it has said so')
    address: str = Field(description="from which it last called")
    hold_s: float | None = Field(description="how long its polls are held; 0: not at all")


class Server(BaseModel):
    """A DayZ server with all that the relay knows of it. Without its secrets."""

    slug: str
    name: str
    external_id: str | None = Field(description="your own id of it")
    origin: Origin
    disabled: bool
    served: bool = Field(description="false if it is disabled, or if `note` gives a reason")
    note: str = Field(description='why it is not served, or ""')
    state: ServerState
    cause: ServerCause
    problems: list[ServerProblem] = Field(description="the worst first")
    has_registration_token: bool
    mod_keys: list[ModKeyDates]
    link: ServerLink
    mod: ServerMod
    players_online: int | None
    events_waiting: int
    events_waiting_bytes: int
    oldest_event_s: float | None = Field(description="for how long the oldest one waits")
    commands_waiting: int
    failed_commands: int = Field(
        description="commands of the last 24 hours that the mod refused, or that failed"
    )
    dead_letters: int
    made_up_positions: int = Field(description="positions that were made up for Takaro, since it exists")
    last_made_up: KnownMoment


PageCursor = Annotated[
    str, Query(max_length=63, pattern="^[a-z0-9-]*$", description="`next_cursor` of the page before")
]


class ServerList(BaseModel):
    """A page of servers, sorted by slug."""

    servers: list[Server]
    total: int = Field(description="number of servers that fit `state` and `q`")
    next_cursor: str | None = Field(description="gives the next page; null: this is the last one")


Warnings = Annotated[
    list[str],
    Field(
        description="sentences to show to whoever asked: it was done, and something about it needs a look, as"
        " a name that another server of the same Takaro domain has (Takaro refuses the second)"
    ),
]


class ChangedServer(BaseModel):
    """The server after the change."""

    server: Server
    warnings: Warnings


class RotatedServer(ChangedServer):
    """The server with its new mod key, which is shown this once."""

    mod_key: str
    mod_config: str = Field(description="the text of the mod's file, with the key in it")
    mod_config_path: str = Field(examples=["profiles/TakaroIntegration/config.json"])


class ModConfig(BaseModel):
    """The mod's file. Of a key that the API has made only a hash is kept, so it is not in it again."""

    mod_config: str = Field(description="the text of the file; `<mod key>` stands where the key goes")
    mod_config_path: str = Field(examples=["profiles/TakaroIntegration/config.json"])
    has_key: bool = Field(description="whether the key is in it: one of relay.toml, for a full token")


class CreatedServer(RotatedServer):
    """The new server with its mod key and its identity token, which are shown this once."""

    identity_token: str = Field(description="Takaro knows the server by it: keep it with your backups")


class FleetCounts(BaseModel):
    """All servers in numbers."""

    total: int
    states: dict[ServerState, int]
    causes: dict[ServerCause, int]
    players_online: int
    events_waiting: int
    failed_commands: int = Field(description="in the last 24 hours")
    dead_letters: int
    problems: list[ServerProblem] = Field(description="what may concern any of the servers")


class RelayInfo(BaseModel):
    """The relay itself."""

    version: str
    store: str = Field(description="which Redis it uses, and what that survives")
    uplinks: list[str] = Field(description="the uplinks that own servers")
    settings_refused: str = Field(description='why relay.toml was not read again, or ""')
    restart_needed_for: list[str] = Field(description="settings that were changed and wait for a restart")


@unique
class Role(StrEnum):
    """What a token may do."""

    FULL = "full"
    READ = "read"


class NewToken(Body):
    """A token to make."""

    name: Slug = Field(examples=["billing-panel"])
    role: Role = Field(default=Role.FULL, description="`read`: GET only")


class TokenInfo(BaseModel):
    """A token, without its secret."""

    name: str
    role: Role
    created: datetime


class CreatedToken(TokenInfo):
    """A new token, which is shown this once."""

    token: str


class TokenList(BaseModel):
    """All tokens but `admin_token` of [modapi]."""

    tokens: list[TokenInfo]
