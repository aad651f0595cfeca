"""Sends the events of one instance to Takaro over one socket, for as long as Takaro accepts them."""

import asyncio
from functools import partial
from typing import NamedTuple

from services.relay.protocol.errors import RelayError
from services.relay.service.clocks import TIMER_EARLY_S, boottime_s, next_shared_s, offset_of
from services.uplink.connection.link_times import LinkTimes
from services.uplink.connection.takaro_socket import TakaroSocket
from services.uplink.events.consumer import KEEP_ALIVE, StreamConsumer
from services.uplink.events.gaps import LOOKAHEAD, GapQueue
from services.uplink.events.progress import StreamEvent
from services.uplink.events.receipts import MAX_REPEATED, NEVER, NOW, WRITE_EVENTS, Receipts
from services.uplink.takaro import frames

PERIOD_S = 0.1
"""All instances do work that is not urgent at the same moments. Then their calls share a round trip and a
sync to the disk, and a process wakes up less often: a wake-up costs more than a write."""

QUIET_PERIOD_S = 2.0
"""The same for an instance that nobody watches, with at most QUIET_EVENTS under way: its second ping waits
for the end of such a period, its acknowledgement for a moment longer. Often the ping behind the next events
comes first and serves instead. One call acknowledges several windows. The instances are spread over this
time."""

QUIET_EVENTS = 16
PONGED_WITHIN_S = 0.2  # an acknowledgement is this much later than the second ping: its pong has mostly come

READ_ON_TURNS = 4
"""Within this many turns of the loop all frames are handled that have come. If this process stood still, an
error may lie unread in the socket when it is time to acknowledge."""

MAX_ACKNOWLEDGED = 512
"""From this many events on, nothing is read until they are acknowledged: a longer script would hold up Redis,
and Lua unpacks no more than 8,000 ids (ack.lua)."""


class Disowned(RelayError):
    """Takaro has lost our server: identify again, and send again what has no receipt."""

    def __init__(self, lost: int, unconfirmed: int) -> None:
        super().__init__(f"Takaro could not place {lost} of {unconfirmed} events")
        self.repeated = max(0, unconfirmed - lost)


class NoReceipt(RelayError):
    """Takaro answers no ping any more: the socket counts as lost."""


class Plan(NamedTuple):
    """What to do next, and when, on boottime_s(). NEVER: not before something else has happened."""

    capacity: int  # number of events that may be written: a crash must not repeat more than MAX_REPEATED
    read: bool  # whether to read more of the stream: more may be written than wait, and there is room
    events_s: float
    ping_s: float
    keep_alive_s: float
    acknowledge_s: float


class EventPump:
    """Writes each event when its gap allows it, and acknowledges it when Takaro has it."""

    def __init__(self, consumer: StreamConsumer, socket: TakaroSocket, times: LinkTimes) -> None:
        self._consumer = consumer
        self._socket = socket
        self._lease = consumer.lease
        self._times = times
        self.receipts = Receipts()
        self._gap_queue = GapQueue()
        self._offset_s = offset_of(self._lease.slug, QUIET_PERIOD_S, PERIOD_S)
        self._finishing = False
        self._written_s = 0.0  # when last
        self._pong_s: float | None = None  # when a pong came that is not handled yet
        self._drop_s = NEVER  # when to acknowledge dropped events

    def ponged(self) -> None:
        """Takaro answered our ping."""
        if self.receipts.pinged_s is not None:
            self._pong_s = boottime_s()
            self._consumer.wake(unread=False)

    def refused(self, frame: frames.ErrorFrame) -> None:
        """An error frame of Takaro came: it has not accepted one of the unacknowledged events."""
        self._consumer.metrics.error_frames.labels("internal" if frame.internal else "invalid").inc()
        if frame.internal:
            self.receipts.lost()
            self._consumer.wake(unread=False)
        else:
            self.receipts.refused(frame.text)

    def finish(self) -> None:
        """Stops sending events. `run` returns when those under way are proven and acknowledged."""
        self._finishing = True
        self._consumer.wake(unread=False)

    async def run(self) -> None:
        """Runs until `finish`. To cancel it loses nothing. Raises NoReceipt, LostLease, and, when the errors
        of all lost events have come, Disowned."""
        consumer, receipts = self._consumer, self.receipts
        await consumer.begin()
        self._written_s = boottime_s()
        while not self._finishing or receipts.unproven:
            if consumer.woken.done():
                consumer.woken = consumer.woken.get_loop().create_future()
            if (pong_s := self._pong_s) is not None:
                self._pong_s = None
                if taken := receipts.ponged(pong_s):
                    await consumer.taken(taken)
            now_s = boottime_s()
            plan = self._plan(now_s)
            if plan.read or now_s >= self._lease.trusted_until_s:
                # While Redis is away the lease is not lost, and the socket stays open. Until then nothing is
                # read: a primary that was cut off may hold events that nobody has accepted. After them,
                # events that another primary has accepted meanwhile would count as read already.
                await self._until_trusted()
                if plan.read:
                    self._gap_queue.unseen += await consumer.read()
                plan = self._plan(now_s := await self._until_trusted())
            # No `await` between the lease check and the write.
            write_s = min(plan.events_s, plan.ping_s, plan.keep_alive_s)
            if now_s >= write_s:
                self._write(plan, now_s)
            elif now_s >= plan.acknowledge_s:
                for _ in range(READ_ON_TURNS):
                    await asyncio.sleep(0)
                if receipts.disowned and now_s >= receipts.errors_complete_s:
                    raise Disowned(receipts.disowned, receipts.unproven)
                await consumer.acknowledge(receipts.proven(now_s))
            elif not plan.read:
                await self._wait(min(write_s, plan.acknowledge_s), now_s)
        await consumer.acknowledge()

    async def _until_trusted(self) -> float:
        """Waits until the lease may be trusted. Returns the time then."""
        while (now_s := boottime_s()) >= self._lease.trusted_until_s:
            await self._lease.until_renewed()
            self._consumer.wake()  # what hints have brought may be of a primary that was cut off
        return now_s

    def _plan(self, now_s: float) -> Plan:
        """Decides what is next. Changes nothing."""
        receipts, gap_queue, consumer = self.receipts, self._gap_queue, self._consumer
        progress, unread, unseen = consumer.progress, consumer.unread, len(gap_queue.unseen)
        unproven, proven_s = receipts.unproven, receipts.proven_s
        # No newer event may overtake those that Takaro could not place.
        ending = self._finishing or receipts.disowned > 0
        capacity = 0 if ending else MAX_REPEATED - unproven - progress.sent
        # Do other events wait for the events under way?
        urgent = ending or (capacity < WRITE_EVENTS and (unread or unseen > 0 or gap_queue.waiting > 0))
        quiet = unproven <= QUIET_EVENTS and not consumer.watched
        period = (QUIET_PERIOD_S, self._offset_s) if quiet else (PERIOD_S, 0.0)
        acknowledge_period = (QUIET_PERIOD_S, self._offset_s + PONGED_WITHIN_S) if quiet else period
        ping_s = NEVER
        if receipts.pinged_s is None:
            if receipts.unpinged:
                ping_s = NOW
            elif receipts.ponged_s is not None:  # the ping behind the next events would do as well
                ping_s = NOW if urgent else next_shared_s(receipts.ponged_s, *period)
        if proven_s != NEVER and not urgent:
            proven_s = next_shared_s(proven_s, *acknowledge_period)
        acknowledge_first = progress.count >= MAX_ACKNOWLEDGED
        drop_s = NEVER
        if progress.count:
            drop_s = NOW if acknowledge_first else self._drop_s
        return Plan(
            capacity,
            unread and capacity > unseen and gap_queue.waiting < LOOKAHEAD and not acknowledge_first,
            gap_queue.due_s(capacity),
            ping_s,
            self._written_s + self._times.keep_alive_s if capacity > 0 and not unproven else NEVER,
            min(proven_s, drop_s, receipts.errors_complete_s if receipts.disowned else NEVER),
        )

    def _write(self, plan: Plan, now_s: float) -> None:
        """Writes the events that are due, and a ping behind the last of them."""
        events: list[StreamEvent] = []
        if now_s >= plan.events_s:
            events, expired = self._gap_queue.take(now_s, plan.capacity)
            if expired:
                if not self._consumer.progress.count:
                    self._drop_s = next_shared_s(now_s, PERIOD_S)
                self._consumer.drop_expired(expired)
        if not events and now_s >= plan.keep_alive_s:
            events = [KEEP_ALIVE]
        if events:
            for event in events:
                self._socket.send(frames.game_event(event.event))
            self.receipts.written(events)
        plan = self._plan(now_s)  # fewer events may be written now
        if now_s >= plan.ping_s and not (events and now_s >= plan.events_s):
            self._socket.send(frames.PING)
            self.receipts.pinged(now_s)
        self._socket.flush()
        if events:
            self._written_s = boottime_s()
            self._gap_queue.written(self._written_s)

    async def _wait(self, until_s: float, now_s: float) -> None:
        """Waits until then, or until something happens. Raises NoReceipt."""
        if (pinged_s := self.receipts.pinged_s) is not None:
            within_s = self._times.receipt_within_s
            receipt_s = pinged_s + within_s
            if self._pong_s is None and now_s >= receipt_s:
                raise NoReceipt(f"Takaro answered no ping for {within_s:.0f} s")
            until_s = min(until_s, receipt_s)
        wait_s = min(max(0.0, until_s - now_s) + TIMER_EARLY_S, self._times.keep_alive_s)
        woken = self._consumer.woken
        timer = woken.get_loop().call_later(wait_s, partial(self._consumer.wake, unread=False))
        try:
            await woken
        finally:
            timer.cancel()
