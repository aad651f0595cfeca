"""Keeps track of the events of the stream that are delivered. Pure.

Events of different players overtake each other (gaps.py), so the delivered events need not be a prefix of the
stream. The cursor names the oldest event that is still needed. If other events of an entry than its first
ones are delivered, the entry is noted with a mask of the events that are not. An entry of which nothing is
left is deleted, wherever it stands. So an entry that is neither before the cursor nor noted is needed as a
whole. An older version, which does not know the notes, repeats some events and loses none.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from services.relay.protocol.records import GameEvent
from services.relay.store.clock import AgeRange
from services.relay.store.stream_entries import Delivered, StreamEntry
from services.uplink.events import ages

READ_ENTRIES, READ_EVENTS = 20, 128
"""How much of the stream is read at once: a few windows. After an outage every instance has many events."""


@dataclass(slots=True, eq=False)
class EntryProgress:
    """How far one entry is delivered. Times are seconds on a clock that is never set."""

    id: str
    size_bytes: int
    all: int  # a bit for each of its events
    needed: int  # bit i is set while its event i is not acknowledged
    age: AgeRange  # at `read_s`
    read_s: float
    young_until_s: float  # until then none of its events is too old

    def age_at(self, now_s: float) -> AgeRange:
        older_s = now_s - self.read_s
        return AgeRange(self.age.least_s + older_s, self.age.most_s + older_s)


class StreamEvent(NamedTuple):
    """An event that was read, and its place: the event `number` of `entry`."""

    event: GameEvent
    entry: EntryProgress
    number: int


class Progress:
    """How far the delivery of one stream has come, compared with what is `stored` in Redis.

    13 fields: counts that only hold together, and that one receipt changes together.
    """

    def __init__(self, stored: Delivered) -> None:
        self._stored = stored
        # The stored notes of entries that were not read yet. `delivered` returns them as well, because it
        # replaces what is stored: an entry whose note is lost is sent again as a whole. Those before the
        # cursor count no more: an older version moves it and leaves them there.
        first = _place(stored.entry)
        self._unread_notes = {id: mask for id, mask in stored.needed.items() if _place(id) >= first}
        self._entries: OrderedDict[str, EntryProgress] = OrderedDict()  # those that are still needed
        self.read_through = ""  # the last entry that was read
        self.largest_events = READ_EVENTS  # in the largest of the entries that were read last
        self.complete_s = float("-inf")  # when all entries that were in the stream had been read
        self.total = stored.total  # events that were ever delivered or dropped for this instance
        self.count = 0  # events that were delivered or dropped and are not acknowledged in Redis
        self.sent = 0  # those of `count` that Takaro has: a crash now would repeat them
        self.entries = 0  # number of entries that were read and are not deleted from the stream
        self._ended = 0  # how many of `entries` have no event left that is needed
        self.gone: list[str] = []  # entries to delete behind one that is needed: nothing of them is left
        self.size_bytes = 0  # the size of all entries in Redis of which nothing is left

    def is_next(self, id: str, before: str) -> bool:
        """Whether the entry `id`, which was stored right behind the entry `before`, is the next one to read.
        No `before`: all others were deleted, so they are delivered."""
        if before:
            return before == self.read_through
        return _place(id) > _place(self.read_through) and _place(id) >= _place(self._stored.entry)

    def read(self, entry: StreamEntry, age: AgeRange, read_s: float) -> list[StreamEvent]:
        """The undelivered events of the next entry, in order. `age` is its age at `read_s`."""
        stored, whole = self._stored, (1 << len(entry.events)) - 1
        needed = whole & self._unread_notes.pop(entry.id, -1)
        if entry.id == stored.entry:
            needed &= -1 << stored.skip
        young_until_s = read_s + ages.YOUNG_S - age.most_s
        progress = EntryProgress(entry.id, entry.size_bytes, whole, needed, age, read_s, young_until_s)
        self.read_through = entry.id
        self.entries += 1
        self._entries[entry.id] = progress
        if not needed:
            self._end(progress)
        events: list[StreamEvent] = []
        for number, event in enumerate(entry.events):
            if needed == whole or needed >> number & 1:
                events.append(StreamEvent(event, progress, number))
        return events

    def done(self, events: Iterable[StreamEvent], *, sent: bool = True) -> None:
        """Takaro has these events, or, if not `sent`, they were too old. Counts those that were needed."""
        before = self.total
        for _, entry, number in events:
            if not entry.needed >> number & 1:
                continue
            self.total += 1
            entry.needed &= ~(1 << number)
            if not entry.needed:
                self._end(entry)
        self.count += self.total - before
        if sent:
            self.sent += self.total - before

    def _end(self, entry: EntryProgress) -> None:
        if next(iter(self._entries)) != entry.id:  # otherwise the cursor will be behind it
            self.gone.append(entry.id)
        del self._entries[entry.id]
        self.size_bytes += entry.size_bytes
        self._ended += 1

    def delivered(self) -> Delivered:
        """What Redis must store."""
        if not self._entries:
            cursor, skip = self._stored.entry, self._stored.skip
            if self.read_through:
                milliseconds, number = _place(self.read_through)
                cursor, skip = f"{milliseconds}-{number + 1}", 0
            return Delivered(cursor, skip, dict(self._unread_notes), self.total)
        oldest = next(iter(self._entries.values()))
        skip = (oldest.needed & -oldest.needed).bit_length() - 1
        needed = {
            entry.id: entry.needed
            for entry in self._entries.values()
            if entry.needed != (entry.all if entry is not oldest else entry.all >> skip << skip)
        }
        return Delivered(oldest.id, skip, needed | self._unread_notes, self.total)

    def acknowledged(self) -> None:
        """Redis has stored what `delivered` returned, and has deleted the entries of `gone`."""
        self.entries -= self._ended
        self.count = self.sent = self.size_bytes = self._ended = 0
        self.gone = []


def _place(id: str) -> tuple[int, int]:
    """The id of an entry, so that it can be compared."""
    milliseconds, _, number = id.partition("-")
    return int(milliseconds or 0), int(number or 0)
