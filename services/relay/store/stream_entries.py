"""What is read from the stream of events, and what is kept of how far its delivery has come. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from services.relay.protocol.records import GameEvent

ID_LATER_MS = 1_000
"""The id of an entry may be this much later than the clock that its script read: Redis 7.0 reads it again."""


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """One stored batch. `id` is "<ms>-<n>", the ms being the highest that Redis' clock had shown by then,
    `accepted_ms` what it showed when the batch was accepted."""

    id: str
    events: list[GameEvent]
    size_bytes: int
    accepted_ms: int

    @property
    def behind(self) -> bool | None:
        """Whether Redis' clock had shown more before it was accepted. None: this is not known, for the ids of
        a stream tell of the clock only when something was stored."""
        return self.accepted_ms < int(self.id.partition("-")[0]) - ID_LATER_MS or None


class Delivered(NamedTuple):
    """How far delivery has come.

    `entry` is the oldest entry that is needed yet, and its first `skip` events are delivered. `needed` has
    the entries of which more is delivered than that: bit i is set if event i is not. All others are needed
    whole. `total` counts the events that were ever taken off: it is the greater, the newer this is.
    """

    entry: str = ""
    skip: int = 0
    needed: Mapping[str, int] = {}
    total: int = 0
