"""How far a reader of events and commands has come, as a text that the reader can bring along later. Pure.

The id of an entry is "<source>-<place>": the place is one or more numbers that grow within the source.
Sources are the events that wait, the dead letters, and each run of an owner (activity.py). They are the same
for every modapi, so a reader can go on at another one.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from services.relay.instances.activity import ActivityEntry
from services.relay.protocol.ends import EventState

KEPT_RUNS = 8
"""Number of runs in a cursor. An owner has one run, and so has each message that the relay sends itself."""

_ID = re.compile(r"([a-z0-9]{1,16})((?:-\d{1,16}){1,3})", re.ASCII)
_STREAMS = (EventState.WAITING, EventState.DEAD)


class Cursor:
    """The last place that a reader has seen in each source. `text` is an earlier cursor, whoever wrote it."""

    def __init__(self, text: str = "") -> None:
        self._places: dict[str, tuple[int, ...]] = {}
        for id in islice(text.split(","), KEPT_RUNS + len(_STREAMS)):
            self._passes(id)

    def __str__(self) -> str:
        return ",".join("-".join(map(str, (source, *place))) for source, place in self._places.items())

    def __bool__(self) -> bool:
        return bool(self._places)

    def new(self, entries: Iterable[ActivityEntry]) -> Iterator[ActivityEntry]:
        """Those that the reader has not seen. The cursor moves on with each that is taken."""
        return (entry for entry in entries if self._passes(entry.id))

    def _passes(self, id: str) -> bool:
        if not (parts := _ID.fullmatch(id)):
            return False
        source, place = parts[1], tuple(map(int, parts[2].split("-")[1:]))
        last = self._places.pop(source, ())
        self._places[source] = max(place, last)
        runs = [one for one in self._places if one not in _STREAMS]
        if len(runs) > KEPT_RUNS:  # the one that moved on longest ago
            del self._places[runs[0]]
        return place > last


def in_order(entries: Iterable[ActivityEntry]) -> list[ActivityEntry]:
    """Sorted by time, but those of one source in its order, even if a clock was set back meanwhile."""
    by_place = sorted(entries, key=lambda entry: _place(entry.id))
    latest_ms: dict[str, int] = {}
    timed = []
    for entry in by_place:
        source = entry.id.partition("-")[0]
        latest_ms[source] = max(entry.at_ms, latest_ms.get(source, 0))
        timed.append((latest_ms[source], entry))
    return [entry for _, entry in sorted(timed, key=lambda one: one[0])]


def _place(id: str) -> tuple[int, ...]:
    return tuple(map(int, id.split("-")[1:]))
