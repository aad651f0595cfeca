"""What crosses Redis between the services: canonical records, already in Takaro's vocabulary.

`GameEvent` is a plain dict, not an object: on the way from the mod to Takaro it is built once and
encoded twice, and nothing else happens to it.
"""

from dataclasses import dataclass
from typing import Any, TypedDict

from services.relay.protocol.vocabulary import Action


class GameEvent(TypedDict):
    """One event as Takaro's validation takes it: no field more, none less (protocol.md T5)."""

    type: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeadEvent:
    """An event that cannot become valid: kept aside with the reason, so that its neighbours pass.

    `reason` is one of a small fixed set (it labels a metric); `detail` says which field and why;
    `raw` is what the mod sent, shortened.
    """

    reason: str
    detail: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Command:
    """One request of Takaro's on its way to the mod.

    `args` holds just what the action needs, flat, in Takaro's words:

    ======================================  =====================================================
    getPlayer, getPlayerLocation,           gameId
    getPlayerInventory, unbanPlayer
    sendMessage                             message, recipient? (a gameId), senderName?
    kickPlayer                              gameId, reason
    banPlayer                               gameId, reason, expiresAt? (ISO 8601; absent: permanent)
    teleportPlayer                          gameId, x, y, z
    giveItem                                gameId, item, amount (int), quality
    executeConsoleCommand                   command
    all others                              nothing
    ======================================  =====================================================
    """

    operation_id: str
    action: Action
    args: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a command: a value in the shape that protocol.md T14 gives, or an error text.

    A read that found nobody (the game server knows no such player) is neither: `value` is None
    and `error` is empty, and uplink says what it knows instead.
    """

    value: Any = None
    error: str = ""
