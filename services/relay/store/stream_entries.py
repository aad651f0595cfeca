"""The batches that go into the stream of events, its entries, and how far their delivery has come. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.relay.protocol.records import DeadEvent, GameEvent

NOT_ASKED = "-"
"""The token of a batch that needs no note of its answer: its mod has sent it again since, or it is empty."""


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
    """`token` names the batch that the answer is for; `repeated` events at its head were stored before.

    `full`: the stream is full, and nothing was stored. A token of NOT_ASKED: all of it is stored, but the
    mod has sent it again since.
    """

    token: str
    repeated: int = 0
    full: bool = False


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """One stored batch. `id` is "<ms>-<n>": the highest time that Redis' clock had shown by then. The clock
    showed `accepted_ms` when the batch was accepted.

    `behind`: whether Redis' clock had shown a later time before. None: this is not known, because the ids of
    a stream tell the time only when something was stored.
    """

    id: str
    events: list[GameEvent]
    size_bytes: int
    accepted_ms: int
    behind: bool | None = None


class Delivered(NamedTuple):
    """How far delivery has come.

    `entry` is the oldest entry that is still needed, and its first `skip` events are delivered. `needed` has
    the entries of which other events are delivered: bit i is set if event i is not. All other entries are
    needed as a whole. `total` counts all events that were ever delivered or dropped: a newer record has more.
    """

    entry: str = ""
    skip: int = 0
    needed: Mapping[str, int] = {}
    total: int = 0
