"""The records that modapi and uplink exchange through Redis, in Takaro's vocabulary.

`GameEvent` is a plain dict, because it is only built once and encoded twice on its way to Takaro.
"""

import re
from dataclasses import dataclass
from typing import Any, TypedDict

from services.relay.protocol.ends import CommandEnd
from services.relay.protocol.vocabulary import Action


class GameEvent(TypedDict):
    """One event as Takaro's validation takes it, with exactly its fields (protocol.md T5)."""

    type: str
    data: dict[str, Any]


DEAD_EVENT_BYTES = 2_000  # number of bytes of a dead event that are kept: enough to see what is wrong

DEAD_LETTER_ID = re.compile("[0-9]{1,15}-[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class DeadEvent:
    """An event that cannot become valid: a dead letter. The rest of its batch is delivered.

    `reason` is one of a fixed set, because it labels a metric; `detail` says which field is wrong, and why;
    `raw` is what the mod sent, cut to DEAD_EVENT_BYTES.
    """

    reason: str
    detail: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Command:
    """A command for the mod, which a request of Takaro's has caused.

    `args` has only what the action needs, flat, in Takaro's words:

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
    """The result of a command: a `value` in the shape of protocol.md T14, or the text of an `error`.

    If a read asked for a player whom the game server does not know, `value` is None and `error` is empty:
    uplink then answers with what it knows.
    """

    value: Any = None
    error: str = ""

    @property
    def end(self) -> CommandEnd:
        return CommandEnd.REFUSED if self.error else CommandEnd.ANSWERED
