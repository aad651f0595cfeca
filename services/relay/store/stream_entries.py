"""Entries of the stream of events, and how far their delivery has come. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from services.relay.protocol.records import GameEvent


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
    needed as a whole. `total` counts the events that were ever acknowledged, so a newer record has more.
    """

    entry: str = ""
    skip: int = 0
    needed: Mapping[str, int] = {}
    total: int = 0
