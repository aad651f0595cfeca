"""The bodies and answers of the calls about the life of a server."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from services.modapi.admin.models import Body, Moment, Shown
from services.relay.instances.history import LinkUptime
from services.relay.instances.messages import MAX_MESSAGE_CHARS
from services.relay.service.settings_values import NotBlank


class PlayerPosition(BaseModel):
    """A place in the game; `y` is the height."""

    x: float
    y: float
    z: float


class OnlinePlayer(BaseModel):
    """A player in the form of Takaro. What the mod does not report is null."""

    game_id: str = Field(validation_alias="gameId")
    name: str
    steam_id: str | None = Field(None, validation_alias="steamId")
    ip: str | None = None
    ping: float | None = None
    position: PlayerPosition | None = Field(None, description="the last one that is known")


class PlayerList(BaseModel):
    """The players who are online, by name."""

    age_s: float | None = Field(description="how long ago the mod reported them; null: it never has")
    players: list[OnlinePlayer]


class ServerPlayers(PlayerList):
    """The players of one server."""

    slug: str


class FleetPlayers(BaseModel):
    """The players of a page of servers, sorted by slug."""

    servers: list[ServerPlayers]
    next_cursor: str | None = Field(description="gives the next page; null: this is the last one")


class MinuteCounts(Shown):
    """One minute. The latencies run from the acceptance of an event to Takaro's receipt."""

    at: Moment = Field(validation_alias="begun_ms", description="when it began")
    accepted: int = Field(description="events that the mod sent")
    events: int = Field(description="events that Takaro has taken")
    commands: int = Field(description="commands that change the game and have ended")
    p50_ms: int
    p99_ms: int


class MinuteList(BaseModel):
    """The last hour, the oldest minute first."""

    minutes: list[MinuteCounts]


class HalfHourCounts(Shown):
    """Half an hour."""

    at: Moment = Field(validation_alias="begun_ms", description="when it began")
    accepted: int = Field(description="events that the mod sent")
    linked_s: int = Field(description="seconds for which the link to Takaro was ready; up to a minute late")
    link: LinkUptime = Field(description="`unknown`: the server was not there yet, or nobody knows")


class HalfHourList(BaseModel):
    """The last 24 hours, the oldest half hour first. The last one is not over."""

    half_hours: list[HalfHourCounts]


class ServerEvent(Shown):
    """An event of the game and its outcome. Players wrote the text in it."""

    id: str = Field(description="the same in every list and stream; an event gets another one when it ends")
    at: Moment = Field(validation_alias="at_ms", description="when it was accepted, or ended")
    type: str = Field(validation_alias="what", examples=["chat-message"])
    state: str = Field(description="`delivered`, `waiting`, `dead`, `expired` or `refused`")
    detail: str = Field(description="why it was refused")
    took_ms: int = Field(description="from its acceptance to Takaro's receipt")
    data: dict[str, Any] = Field(description="as Takaro gets it")


class EventList(BaseModel):
    """The last events, the newest first."""

    events: list[ServerEvent]


class ServerCommand(Shown):
    """A command that changes the game, and its outcome."""

    id: str = Field(description='the same in every list and stream; "" in the answer to `send_message`')
    at: Moment = Field(validation_alias="at_ms", description="when it ended")
    action: str = Field(validation_alias="what", examples=["sendMessage"])
    state: str = Field(description="`answered`, `refused` by the mod, or why there was no answer")
    detail: str = Field(description="what the mod said when it refused")
    took_ms: int
    arguments: dict[str, Any] = Field(validation_alias="data")


class CommandList(BaseModel):
    """The last commands that have ended, the newest first."""

    commands: list[ServerCommand]


class NewMessage(Body):
    """A message to everybody on the server."""

    text: Annotated[
        str,
        Field(min_length=1, max_length=MAX_MESSAGE_CHARS, json_schema_extra={"pattern": r"\S"}),
        NotBlank,
    ]
