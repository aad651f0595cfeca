"""What tests know of the simulated Takaro's servers and events."""

from dataclasses import dataclass, field
from typing import Any

from services.sim.takaro.socket import Accepted, GameServer


@dataclass(frozen=True, slots=True)
class SimRefusal:
    """An event that Takaro refused, and the text of the error frame."""

    identity_token: str
    text: str
    frame: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LostEvent:
    """An event that Takaro accepted and then lost without telling anybody."""

    identity_token: str
    reason: str
    event: Accepted


@dataclass(eq=False, slots=True)
class StrictServer(GameServer):
    """A server with its events. Times are in seconds on the loop's clock."""

    last_event_at: float = 0.0
    reachable: bool | None = None
    identifies: list[float] = field(default_factory=list)
    events: list[Accepted] = field(default_factory=list)
    game_ids: dict[str, str] = field(default_factory=dict)  # platform id to gameId
