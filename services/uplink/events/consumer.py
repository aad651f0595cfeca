"""The events of one instance, read from its stream and acknowledged there once they are delivered."""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial

from services.relay.protocol.errors import LostLease, StoreError
from services.relay.protocol.records import GameEvent
from services.relay.service.clocks import boottime_s
from services.relay.service.faults import FaultKind
from services.relay.service.logs import InstanceLogger
from services.relay.store.client import RETRY_EVERY_S, until_redis_answers
from services.relay.store.clock import AgeRange
from services.relay.store.event_stream import EventStream, entries_of
from services.relay.store.leases import Lease
from services.relay.store.stream_entries import Delivered, StreamEntry
from services.uplink.events import ages
from services.uplink.events.progress import READ_ENTRIES, READ_EVENTS, EntryProgress, Progress, StreamEvent
from services.uplink.events.receipts import EndedEvents
from services.uplink.reporting.metrics import DELIVERED, OTHER_TYPE, UplinkMetrics
from services.uplink.requests.mirror.mirror import Mirror

JOINED_WITHIN_S = 60.0  # after an outage, older events say nothing about who is in the game now

READ_AGAIN_S = 10.0  # hints are relied on for this time; then the stream is read, to be sure of all of it

_NOTHING: GameEvent = {"type": "log", "data": {"msg": "dayz-relay: nothing happened for a while"}}
KEEP_ALIVE = StreamEvent(_NOTHING, EntryProgress("", 0, 0, 0, AgeRange(0.0, 0.0), 0.0, 0.0), 0)
"""The one event that is not from the stream: it is never acknowledged."""


class StreamConsumer:
    """The events that one instance still has to deliver. Outlives a socket: a reconnect repeats none of it.

    `ended` is called with each window that Takaro has, and with events that were dropped for their age,
    `joined` with the gameId of a player whose event is the first since they were not in the game.
    13 fields: the parts that it is made of, what there is to do, and two that spare a look-up for each event.
    """

    def __init__(
        self,
        stream: EventStream,
        mirror: Mirror,
        lease: Lease,
        metrics: UplinkMetrics,
        ended: Callable[[EndedEvents], object] = lambda events: None,
        joined: Callable[[str], object] = lambda game_id: None,
    ) -> None:
        self.progress = Progress(Delivered())
        self.unread = True  # whether there may be events that were not read
        self._brought = b""  # all that is unread, if a hint brought it
        self.woken = asyncio.get_running_loop().create_future()
        """Done when the pump has to go on: new events, a pong, an error, the time, or the end."""
        self.watched = False  # somebody watches the activity, and wants to see at once what Takaro has
        self.logger = InstanceLogger(__name__, stream.slug)
        self._stream = stream
        self._mirror = mirror
        self.lease = lease
        self.metrics = metrics
        self._delivered = metrics.instances.row(stream.slug).values[DELIVERED]
        self._ended = ended
        self._joined = joined

    def wake(self, *, unread: bool = True, batch: bytes = b"") -> None:
        """Makes the pump go on, and if `unread`, read new events. `batch` is what a hint brought."""
        if unread:  # if something is unread already, the batch of the hint is not all of it
            self._brought = b"" if self.unread else batch
            self.unread = True
        if not self.woken.done():
            self.woken.set_result(None)

    async def begin(self) -> None:
        """Starts again from the progress that Redis has. Raises LostLease."""
        await self.acknowledge()
        self.progress = Progress(await until_redis_answers(self._stream.delivered))
        self.wake()

    async def read(self) -> list[StreamEvent]:
        """The next undelivered events of the stream, as soon as Redis is there. The mirror learns of them."""
        self.unread, progress = False, self.progress
        asked_s, empty_s = boottime_s(), max(progress.complete_s, self.lease.empty_s)
        brought, self._brought = self._brought, b""
        entries = self._next_of(brought) if brought and asked_s - empty_s < READ_AGAIN_S else []
        if not entries:
            most = min(READ_ENTRIES, max(1, READ_EVENTS // progress.largest_events))
            entries = await until_redis_answers(partial(self._stream.read, progress.read_through, most))
            if len(entries) < most:
                progress.complete_s = asked_s
            else:
                self.unread = True
        if not entries:
            return []
        now_s, oldest_s, aged = self._ages(entries, empty_s)
        if oldest_s > ages.YOUNG_S and self.lease.clock.read_s < asked_s:
            # Redis' clock may have been set since it was read. No event is dropped because of that reading.
            await until_redis_answers(self.lease.read_clock)
            now_s, _, aged = self._ages(entries, empty_s)
        events: list[StreamEvent] = []
        progress.largest_events = 1
        for entry, age in zip(entries, aged, strict=True):
            progress.largest_events = max(progress.largest_events, len(entry.events))
            events += progress.read(entry, age, now_s)
            self._teach_mirror(entry, age, now_s)
        return events

    def _next_of(self, brought: bytes) -> list[StreamEntry]:
        """The entry that a hint brought (append.lua), if nothing unread is before it."""
        before, id, at_ms, events = brought.split(b" ", 3)
        if not self.progress.is_next(id.decode(), before.decode()):
            return []
        return entries_of([(id, (b"events", events, b"at", at_ms))])

    def _ages(self, entries: list[StreamEntry], empty_s: float) -> tuple[float, float, list[AgeRange]]:
        """The time now, the greatest age, and the age of each entry. The stream held none of them at
        `empty_s`, so none is older than that, whatever Redis' clock says."""
        now_s, clock = boottime_s(), self.lease.clock
        most_s, oldest_s, aged = now_s - empty_s, 0.0, list[AgeRange]()
        for entry in entries:
            age = clock.age(entry.accepted_ms, now_s, behind=entry.behind)
            if age.most_s > most_s:
                age = age.at_most(most_s)
            oldest_s = max(oldest_s, age.most_s)
            aged.append(age)
        return now_s, oldest_s, aged

    def _teach_mirror(self, entry: StreamEntry, age: AgeRange, now_s: float) -> None:
        happened_s = now_s - min(age.most_s, ages.HISTORY_S)
        for event in entry.events:
            try:
                game_id = self._mirror.take_event(event, happened_s, now_s)
                if game_id and age.most_s < JOINED_WITHIN_S:
                    self._joined(game_id)
            except Exception as error:
                self.metrics.service.faults.caught(self.logger, FaultKind.LISTENER, error)

    async def taken(self, taken: EndedEvents) -> None:
        """Counts the events of a window that Takaro has, and stores dead letters for refused ones."""
        for refused in taken.refused:
            self.metrics.refused.inc()
            await until_redis_answers(partial(self._stream.bury, refused.reason, refused.candidates))
        if taken.delivered == (KEEP_ALIVE.event,):
            return
        self._delivered[""] += len(taken.delivered)
        counters = self.metrics.delivered_of
        for event in taken.delivered:
            counters.get(event["type"], counters[OTHER_TYPE]).inc()
        self.metrics.event_seconds.observe(taken.took_s)
        try:
            self._ended(taken)
        except Exception as error:
            self.metrics.service.faults.caught(self.logger, FaultKind.LISTENER, error)

    def drop_expired(self, expired: list[StreamEvent]) -> None:
        """Drops events that are too old, and counts them."""
        events = tuple(event.event for event in expired)
        counters = self.metrics.expired_of
        for event in events:
            counters.get(event["type"], counters[OTHER_TYPE]).inc()
        with self.metrics.service.faults.contain(self.logger, FaultKind.LISTENER):
            self._ended(EndedEvents((), expired=events))
        self.progress.done(expired, sent=False)

    async def acknowledge(self, proven: Iterable[StreamEvent] = ()) -> None:
        """Deletes the `proven` events, and what was dropped, from the stream. Raises LostLease."""
        progress = self.progress
        progress.done(proven)
        while progress.count:
            delivered = progress.delivered()
            try:
                await self._stream.ack(
                    self.lease.token, delivered, progress.count, progress.size_bytes, progress.gone
                )
            except LostLease:
                self.metrics.fenced.labels("ack").inc()
                raise
            except StoreError:
                await asyncio.sleep(RETRY_EVERY_S)
            else:
                progress.acknowledged()
