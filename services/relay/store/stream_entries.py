"""The batches that go into the stream of events, its entries, and how far their delivery has come. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.relay.protocol.records import DeadEvent, GameEvent

NOT_ASKED = "-"
"""The token of a batch that needs no note of its answer: its mod has sent it again since, or it is empty. All
of it is stored."""


@dataclass(frozen=True, slots=True)
class EventBatch:
    """All events of one POST of the mod, in order: by their digests repeats are recognised and cut off."""

    events: Sequence["PostedEvent"]
    players: Mapping[str, bytes] = field(default_factory=dict)


class PostedEvent(NamedTuple):  # made for each event: a dataclass would cost three times as much
    """One event of a POST: `digest` is of the mod's bytes, `became` its form for Takaro (None: left out)."""

    digest: bytes
    became: GameEvent | DeadEvent | None


@dataclass(frozen=True, slots=True)
class Appended:
    """The outcome of storing a batch."""

    token: str  # names the batch that the answer is for
    repeated: int = 0  # number of events at its head that were stored before
    full: bool = False  # the stream is full, and nothing was stored


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """One stored batch."""

    id: str  # "<ms>-<n>": the highest time that Redis' clock had shown by then
    events: list[GameEvent]
    size_bytes: int
    accepted_ms: int  # what that clock showed when the batch was accepted
    behind: bool | None = None
    """Whether that clock had shown a later time before. None: this is not known, because the ids of a stream
    tell the time only when something was stored."""


class Delivered(NamedTuple):
    """How far delivery has come. Entries behind `entry` that are not in `needed` are needed as a whole."""

    entry: str = ""  # the oldest entry that is still needed
    skip: int = 0  # number of its first events that are delivered
    needed: Mapping[str, int] = {}  # entries with later delivered events: bit i is set if event i is not
    total: int = 0  # number of events that were ever delivered or dropped: a newer record has more
