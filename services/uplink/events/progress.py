"""Which events of the stream are delivered? Pure bookkeeping of places in the stream.

Events of different players overtake each other (gaps.py), so what is delivered need not be a prefix of the
stream. The cursor names the oldest event that is still needed. An entry of which other events than the first
ones are delivered is noted with a mask of those that are not; one of which nothing is left is deleted,
wherever it stands. So an entry that is neither before the cursor nor noted is needed as a whole, and whoever
does not know the notes (an older version) repeats some events and loses none.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from services.relay.protocol.records import GameEvent
from services.relay.store.clock_steps import AgeRange
from services.relay.store.stream_entries import Delivered, StreamEntry
from services.uplink.events import ages


class StreamBatch:
    """One entry that was read at `read_s`, and how old it was then. Bit i of `needed` is set while its event
    i is not acknowledged. Times are seconds by a clock that is never set."""

    __slots__ = ("age", "all", "id", "needed", "read_s", "size_bytes", "young_until_s")

    def __init__(self, entry: StreamEntry, age: AgeRange, read_s: float) -> None:
        self.id = entry.id
        self.age = age
        self.read_s = read_s
        self.young_until_s = read_s + ages.young_for_s(age)
        self.size_bytes = entry.size_bytes
        self.all = self.needed = (1 << len(entry.events)) - 1

    @property
    def accepted_s(self) -> float:
        """When it was accepted, at the latest."""
        return self.read_s - self.age.least_s

    def age_at(self, now_s: float) -> AgeRange:
        older_s = now_s - self.read_s
        return AgeRange(self.age.least_s + older_s, self.age.most_s + older_s)


class StreamEvent(NamedTuple):
    """An event that was read, and its place: the event `number` of `batch`."""

    event: GameEvent
    batch: StreamBatch
    number: int


class Progress:
    """How far the delivery of one stream has come. What it adds to `stored` is not in Redis yet."""

    def __init__(self, stored: Delivered) -> None:
        self._stored = stored
        self._batches: OrderedDict[str, StreamBatch] = OrderedDict()  # those that are needed yet
        self._through = ""  # the last entry that was read
        self.total = stored.total
        """Events that were ever acknowledged for this instance."""
        self.gone: list[str] = []
        """Entries of which nothing is left, but which stood behind one that is needed: in Redis yet."""
        self.size_bytes = 0
        """The size of all entries of which nothing is left, in Redis yet."""

    def read(self, entry: StreamEntry, age: AgeRange, read_s: float) -> list[StreamEvent]:
        """The events of the next entry that are not delivered yet, in order. It was that old at `read_s`."""
        batch, stored = StreamBatch(entry, age, read_s), self._stored
        self._through = entry.id
        if entry.id == stored.entry:
            batch.needed &= -1 << stored.skip
        batch.needed &= stored.needed.get(entry.id, -1)
        self._batches[entry.id] = batch
        if batch.needed == batch.all:
            return [StreamEvent(event, batch, number) for number, event in enumerate(entry.events)]
        if not batch.needed:
            self._end(batch)
        return [
            StreamEvent(event, batch, number)
            for number, event in enumerate(entry.events)
            if batch.needed >> number & 1
        ]

    def done(self, events: Iterable[StreamEvent]) -> None:
        """These, each for the first time, are delivered, or too old to be."""
        for _, batch, number in events:
            self.total += 1
            batch.needed &= ~(1 << number)
            if not batch.needed:
                self._end(batch)

    def _end(self, batch: StreamBatch) -> None:
        if next(iter(self._batches)) != batch.id:  # else the cursor will be behind it
            self.gone.append(batch.id)
        del self._batches[batch.id]
        self.size_bytes += batch.size_bytes

    def delivered(self) -> Delivered:
        """What is to stand in Redis."""
        if not self._batches:
            entry, skip = (_following(self._through), 0) if self._through else self._stored[:2]
            return Delivered(entry, skip, {}, self.total)
        oldest = next(iter(self._batches.values()))
        skip = (oldest.needed & -oldest.needed).bit_length() - 1
        needed = {
            batch.id: batch.needed
            for batch in self._batches.values()
            if batch.needed != (batch.all if batch is not oldest else batch.all >> skip << skip)
        }
        return Delivered(oldest.id, skip, needed, self.total)

    def acknowledged(self) -> None:
        """`delivered` stands in Redis, without the entries that are gone."""
        self.gone, self.size_bytes = [], 0


def _following(entry: str) -> str:
    """The smallest entry id behind `entry`."""
    milliseconds, _, number = entry.partition("-")
    return f"{milliseconds}-{int(number) + 1}"
