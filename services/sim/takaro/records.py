"""What the simulated Takaro knows of each server, each event and each answer."""

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from services.sim.takaro.socket import SimSocket


@dataclass(frozen=True, slots=True)
class Accepted:
    """An event that passed validation. `at` is when it came, in seconds on the loop's clock; `socket` is the
    number of the socket on which it came."""

    at: float
    type: str
    data: dict[str, Any]
    socket: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request: the raw payload (None without one), and what Takaro concludes from it."""

    action: str
    raw: Any
    value: Any
    error: str | None
    took_s: float


@dataclass(eq=False, slots=True)
class GameServer:
    """One identity token: its id never changes, its name is the first one given."""

    identity_token: str
    name: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    socket: "SimSocket | None" = None  # the one that identified last: it is asked, even after it closed
    online: dict[str, str] = field(default_factory=dict)  # gameId to name
