"""What the simulated Takaro keeps: per identity, per socket, and of each event and each answer."""

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection

from services.sim.takaro.faults import SimFaults


@dataclass(frozen=True, slots=True)
class Accepted:
    """An event that passed validation. `at` is the time of receipt on the loop's clock, in seconds;
    `socket` the number of the socket it came on."""

    at: float
    type: str
    data: dict[str, Any]
    socket: int = 0


@dataclass(frozen=True, slots=True)
class SimRefusal:
    """A frame that earned an `error` frame, and its text."""

    identity_token: str
    text: str
    frame: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LostEvent:
    """An event that was taken without complaint and then lost inside Takaro."""

    identity_token: str
    reason: str
    event: Accepted


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request: the raw payload (None without one), and what Takaro concludes from it."""

    action: str
    raw: Any
    value: Any
    error: str | None
    took_s: float


@dataclass(eq=False, slots=True)
class SimLink:
    """One socket; it serves one server, and a second identify re-binds it. `number` counts from 1."""

    connection: ServerConnection
    number: int
    requests: int = 0  # so many were asked on it
    server: "GameServer | None" = None
    pending: dict[str, asyncio.Future[Any]] = field(default_factory=dict)  # by requestId
    errors: set[asyncio.Task[None]] = field(default_factory=set)  # error frames not sent yet
    errors_before_ping: set[asyncio.Task[None]] = field(default_factory=set)
    pong_on_its_way: bool = False


@dataclass(eq=False, slots=True)
class GameServer:
    """One identity token: its id never changes, its name is the first one given."""

    identity_token: str
    name: str
    faults: SimFaults
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    link: SimLink | None = None  # the newest socket: it gets the requests, even after it closed
    known: bool = True  # False after `forget`: every event is an internal error
    last_event_at: float = 0.0
    reachable: bool | None = None
    identifies: list[float] = field(default_factory=list)
    events: list[Accepted] = field(default_factory=list)
    online: dict[str, str] = field(default_factory=dict)  # gameId to name
    game_ids: dict[str, str] = field(default_factory=dict)  # platform id to gameId
