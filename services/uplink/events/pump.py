"""Events of one instance, from the stream to Takaro, over one socket for as long as Takaro takes them."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from services.relay.protocol.errors import RelayError
from services.relay.protocol.records import GameEvent
from services.relay.service.clocks import boottime_s, next_beat_s, wall_s
from services.relay.service.faults import FaultKind
from services.relay.service.logs import InstanceLogger
from services.relay.store.client import patiently
from services.relay.store.clock_steps import AgeRange
from services.relay.store.event_stream import EventStream
from services.relay.store.leases import Lease
from services.relay.store.stream_entries import StreamEntry
from services.uplink.connection.socket_writer import SocketWriter
from services.uplink.events import ages
from services.uplink.events.acknowledgements import Acknowledgements
from services.uplink.events.gaps import Turns
from services.uplink.events.progress import Progress, StreamBatch, StreamEvent
from services.uplink.events.receipts import MAX_REPEATED, WINDOW_EVENTS, Receipts, TakenWindow, Window
from services.uplink.reporting.metrics import UplinkMetrics
from services.uplink.requests.mirror.mirror import Mirror
from services.uplink.takaro import frames

READ_ENTRIES, READ_EVENTS = 20, 128
"""How much of the stream is read at once: a few windows. After an outage every instance has much of it."""

RECEIPT_WITHIN_S = 10.0
KEEP_ALIVE_S = 45.0
"""After 60 s without an event Takaro makes its emitter anew and loses events meanwhile (protocol.md T11)."""

BEAT_S = 0.1
"""All instances do at the same moments what is not urgent: to wake up costs more than to write."""

KEEP_ALIVE: GameEvent = {"type": "log", "data": {"msg": "dayz-relay: nothing happened for a while"}}
_NEVER = float("inf")
_NO_BATCH = StreamBatch(StreamEntry("0-0", [], 0, 0), AgeRange(0.0, 0.0), 0.0)


logger = logging.getLogger(__name__)


class Disowned(RelayError):
    """Takaro has lost our server: identify again, and send again what is not receipted."""

    def __init__(self, lost: int, unconfirmed: int) -> None:
        super().__init__(f"Takaro could not place {lost} of {unconfirmed} events")
        self.repeated = max(0, unconfirmed - lost)


class NoReceipt(RelayError):
    """Takaro takes frames and says nothing: the socket is as good as lost."""


class EventPump:
    """Writes events, each when its gap allows it, and takes them off the stream once they are receipted."""

    def __init__(
        self,
        stream: EventStream,
        acks: Acknowledgements,
        mirror: Mirror,
        writer: SocketWriter,
        lease: Lease,
        metrics: UplinkMetrics,
        passed: Callable[[TakenWindow], object] = lambda taken: None,
    ) -> None:
        self._stream = stream
        self._acks = acks
        self._mirror = mirror
        self._writer = writer
        self._lease = lease
        self._metrics = metrics
        self._faults = metrics.service.faults
        self._logger = InstanceLogger(logger, stream.slug)
        self._passed = passed
        self._delivery = Receipts()
        self._turns = Turns()
        self._complete_s = float("-inf")  # when all that was there had been read
        self._read_through = ""  # the last entry that was read
        self._batch_events = READ_EVENTS  # in the largest of the entries that were read last
        self._unread = True  # there may be events from before
        self._finishing = False
        self._pinged_s = self._written_s = 0.0  # when last
        self._pong_s: float | None = None  # when the pong came that is to be looked at
        self._stirred = asyncio.Event()

    @property
    def unconfirmed(self) -> int:
        """Events that were written and would be repeated now: Takaro may or may not have them."""
        return self._delivery.unproven

    def wake(self) -> None:
        """There may be new events."""
        self._unread = True
        self._stirred.set()

    def ponged(self) -> None:
        """A pong of Takaro's came."""
        if self._delivery.ping_under_way:
            self._pong_s = boottime_s()
            self._stirred.set()

    def refused(self, frame: frames.ErrorFrame) -> None:
        """An error frame of Takaro's came: one of the events under way was not taken."""
        self._metrics.error_frames.labels("internal" if frame.internal else "invalid").inc()
        if frame.internal:
            self._delivery.lost()
            self._stirred.set()
        else:
            self._delivery.refused(frame.text)

    def finish(self) -> None:
        """Send nothing new; `run` returns when what is under way is proven and off the stream."""
        self._finishing = True
        self._stirred.set()

    async def run(self) -> None:
        """Until `finish`. Raises Disowned, NoReceipt, LostLease; whoever cancels it loses nothing."""
        progress = await self._acks.begin()
        self._written_s = boottime_s()
        while not self._finishing or self._delivery.unproven:
            self._stirred.clear()
            if self._pong_s is not None:
                await self._take_pong(self._pong_s)
            if self._may_read:
                await self._read(progress)
            while not self._lease.trusted:  # Redis is away: that is no lost lease, and the socket stays
                await self._lease.renewal()
            now_s = boottime_s()
            if now_s >= (write_s := self._write_s):
                self._write(now_s)
            elif now_s >= (acknowledge_s := self._acknowledge_s(now_s)):
                await self._acknowledge(now_s)
            else:
                await self._rest(now_s, min(write_s, acknowledge_s))
        await self._acks.flush()

    # What Takaro has

    async def _take_pong(self, now_s: float) -> None:
        self._pong_s = None
        if taken := self._delivery.ponged(now_s):
            await self._taken(taken)

    async def _taken(self, taken: TakenWindow) -> None:
        window = taken.window
        for refused in taken.refused:
            self._metrics.refused.inc()
            await patiently(partial(self._stream.bury, refused.reason, refused.candidates))
        if window.events == (KEEP_ALIVE,):
            return
        self._metrics.delivered_all(self._stream.slug, window.events)
        self._metrics.event_seconds.observe(boottime_s() - window.accepted_s)
        self._tell(taken)

    def _tell(self, taken: TakenWindow) -> None:
        with self._faults.kept(self._logger, FaultKind.LISTENER):
            self._passed(taken)

    async def _acknowledge(self, now_s: float) -> None:
        if now_s >= self._delivery.heard_s:
            raise Disowned(self._delivery.disowned, self._delivery.unproven)
        proven = self._delivery.proven(now_s)
        self._acks.add([event for event in proven if event.event is not KEEP_ALIVE], sent=True)
        await self._acks.flush()

    def _acknowledge_s(self, now_s: float) -> float:
        """When to acknowledge: as soon as it is right if something waits, else with all other instances."""
        proven_s, due_in_s = self._delivery.proven_s, self._acks.due_in_s
        if proven_s != _NEVER and not self._hurried:
            proven_s = next_beat_s(proven_s, BEAT_S)
        return min(proven_s, self._delivery.heard_s, now_s + due_in_s)

    @property
    def _hurried(self) -> bool:
        """Does something wait for what is under way?"""
        if self._finishing or self._delivery.disowned:
            return True
        return self._room < WINDOW_EVENTS and bool(self._unread or self._turns.unseen or self._turns.waiting)

    # What is next

    @property
    def _room(self) -> int:
        """So many events may be written: a crash must not repeat more than MAX_REPEATED."""
        if self._finishing or self._delivery.disowned:
            return 0  # nothing newer may overtake what Takaro could not place
        return MAX_REPEATED - self._delivery.unproven - self._acks.sent

    @property
    def _may_read(self) -> bool:
        """Is there room for more than what was read and not looked at yet?"""
        return self._unread and self._room > len(self._turns.unseen) and not self._turns.full

    async def _read(self, progress: Progress) -> None:
        self._unread = False
        most = min(READ_ENTRIES, max(1, READ_EVENTS // self._batch_events))
        asked_s, newer_than_s = boottime_s(), max(self._complete_s, self._lease.empty_s)
        found = await patiently(partial(self._stream.read, self._read_through, most))
        if len(found) < most:
            self._complete_s = asked_s
        else:
            self._unread = True  # there may be more
        if not found:
            return
        now_s, aged = self._aged(found, newer_than_s)
        if self._lease.clock.read_s < asked_s and any(ages.young_for_s(age) < 0 for age in aged):
            # Nothing is too old by a clock that was read before: it may have been set since.
            await patiently(self._lease.look_at_clock)
            now_s, aged = self._aged(found, newer_than_s)
        self._read_through = found[-1].id
        self._batch_events = max(1, *(len(entry.events) for entry in found))
        for entry, age in zip(found, aged, strict=True):
            self._turns.unseen += progress.read(entry, age, now_s)
            happened_s = wall_s() - min(age.most_s, ages.HISTORY_S)
            for event in entry.events:
                with self._faults.kept(self._logger, FaultKind.LISTENER):
                    self._mirror.happened(event, happened_s, wall_s())

    def _aged(self, found: list[StreamEntry], newer_than_s: float) -> tuple[float, list[AgeRange]]:
        """What time it is, and how old each is. Whatever Redis' clock says, what was not there at
        `newer_than_s` is no older."""
        now_s, clock = boottime_s(), self._lease.clock
        return now_s, [
            clock.age(entry.accepted_ms, now_s, behind=entry.behind).at_most(now_s - newer_than_s)
            for entry in found
        ]

    @property
    def _write_s(self) -> float:
        """When to write events, or a ping."""
        return min(self._turns.due_s(self._room), self._ping_s, self._keep_alive_s)

    def _write(self, now_s: float) -> None:
        """Writes what may go now, and behind the last of it a ping. No await since the lease was checked."""
        events, expired = self._turns.take(now_s, self._room)
        if expired:
            self._expired(expired)
        if not events and now_s >= self._keep_alive_s:
            events = [StreamEvent(KEEP_ALIVE, _NO_BATCH, 0)]
        if events:
            self._writer.send(*[frames.game_event(event.event) for event in events])
            self._delivery.written(events)
        if now_s >= self._ping_s and not (events and now_s >= self._turns.due_s(self._room)):
            self._writer.send(frames.ping())
            self._delivery.pinged()
            self._pinged_s = now_s
        self._writer.flush()
        if events:
            self._written_s = boottime_s()
            self._turns.written(self._written_s)

    def _expired(self, expired: list[StreamEvent]) -> None:
        events = tuple([event.event for event in expired])
        self._metrics.expired_all(events)
        self._tell(TakenWindow(Window((), events), ()))
        self._acks.add(expired, sent=False)

    @property
    def _ping_s(self) -> float:
        """When to write a ping. What has one pong waits a little for the ping of the next events."""
        if self._delivery.ping_under_way:
            return _NEVER
        if self._delivery.unpinged:
            return 0.0
        if (ponged_s := self._delivery.ponged_s) is None:
            return _NEVER
        return 0.0 if self._hurried else next_beat_s(ponged_s, BEAT_S)

    @property
    def _keep_alive_s(self) -> float:
        idle = self._room > 0 and not self._delivery.unproven
        return self._written_s + KEEP_ALIVE_S if idle else _NEVER

    async def _rest(self, now_s: float, until_s: float) -> None:
        """Until then, or until something comes. Raises NoReceipt."""
        if self._may_read:
            return
        if self._delivery.ping_under_way:
            if self._pong_s is None and now_s >= self._pinged_s + RECEIPT_WITHIN_S:
                raise NoReceipt(f"Takaro answered no ping for {RECEIPT_WITHIN_S:.0f} s")
            until_s = min(until_s, self._pinged_s + RECEIPT_WITHIN_S)
        rest_s = min(max(0.0, until_s - now_s), KEEP_ALIVE_S)
        timer = asyncio.get_running_loop().call_later(rest_s, self._stirred.set)  # timeout() costs more
        try:
            await self._stirred.wait()
        finally:
            timer.cancel()
