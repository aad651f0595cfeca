"""Events of one instance, from the stream to Takaro, over one socket for as long as Takaro takes them."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from services.relay.clocks import boottime_s, next_beat_s, wall_s
from services.relay.errors import RelayError
from services.relay.event_stream import Entry, EventStream
from services.relay.leases import Lease
from services.relay.records import GameEvent
from services.relay.store import patiently
from services.relay.store_time import Age
from services.uplink.acks import Acks
from services.uplink.metrics import Metrics
from services.uplink.mirror.state import Mirror
from services.uplink.takaro import ages, frames
from services.uplink.takaro.delivery import MAX_REPEATED, WINDOW_EVENTS, Delivery, Position, Taken, Window
from services.uplink.takaro.gaps import Gaps
from services.uplink.wire import Wire

READ_ENTRIES, READ_EVENTS = 20, 128
"""How much of the stream is read at once: a few windows. After an outage every instance has much of it."""

RECEIPT_WITHIN_S = 10.0
KEEP_ALIVE_S = 45.0
"""After 60 s without an event Takaro makes its emitter anew and loses events meanwhile (contract.md B2)."""

BARE_PING_EVERY_S = 0.1
"""All instances at the same moments: to wake up costs more than to write."""

KEEP_ALIVE: GameEvent = {"type": "log", "data": {"msg": "dayz-relay: nothing happened for a while"}}


class Disowned(RelayError):
    """Takaro has lost our server: identify again, and send again what is not receipted."""

    def __init__(self, lost: int, unconfirmed: int) -> None:
        super().__init__(f"Takaro could not place {lost} of {unconfirmed} events")
        self.repeated = max(0, unconfirmed - lost)


class NoReceipt(RelayError):
    """Takaro takes frames and says nothing: the socket is as good as lost."""


class _Waiting(NamedTuple):
    """An entry that was read, and how old it was then."""

    entry: Entry
    age: Age
    read_s: float

    def age_at(self, now_s: float) -> Age:
        older_s = now_s - self.read_s
        return Age(self.age.least_s + older_s, self.age.most_s + older_s)


class EventPump:
    """Sends windows of events and takes them off the stream once they are receipted."""

    def __init__(
        self,
        stream: EventStream,
        acks: Acks,
        mirror: Mirror,
        wire: Wire,
        lease: Lease,
        metrics: Metrics,
        passed: Callable[[Taken], object] = lambda taken: None,
    ) -> None:
        self._stream = stream
        self._acks = acks
        self._mirror = mirror
        self._wire = wire
        self._lease = lease
        self._metrics = metrics
        self._passed = passed
        self._delivery = Delivery()
        self._gaps = Gaps()
        self._entries: deque[_Waiting] = deque()
        self._complete_s = float("-inf")  # when all that was there had been read
        self._next = Position("", 0)  # the first event that was not sent yet
        self._read_through = ""  # the last entry that was read
        self._batch_events = READ_EVENTS  # in the largest of the entries that were read last
        self._finishing = False
        self._wake = asyncio.Event()
        self._wake.set()  # there may be events from before
        self._pong = asyncio.Event()

    @property
    def unconfirmed(self) -> int:
        """Events that were written and not receipted: Takaro may or may not have them."""
        return self._delivery.unconfirmed

    def wake(self) -> None:
        """There may be new events."""
        self._wake.set()

    def ponged(self) -> None:
        """A pong of Takaro's came."""
        self._pong.set()

    def refused(self, frame: frames.ErrorFrame) -> None:
        """An error frame of Takaro's came: one of the events under way was not taken."""
        self._metrics.error_frames.labels("internal" if frame.internal else "invalid").inc()
        if frame.internal:
            self._delivery.lost()
        else:
            self._delivery.refused(frame.text)

    def finish(self) -> None:
        """Send nothing new; `run` returns when what is under way is receipted."""
        self._finishing = True
        self._wake.set()

    async def run(self) -> None:
        """Until `finish`. Raises Disowned, NoReceipt, LostLease; whoever cancels it loses nothing."""
        await self._acks.flush()
        self._next = Position(*await patiently(self._stream.cursor))
        while not self._finishing or self._delivery.under_way:
            window = await self._window()
            self._delivery.sent(window)
            await self._write(window)
            await self._receipt()
            taken = self._delivery.ponged()
            if self._delivery.disowned:
                await self._settle()
            if taken:
                await self._taken(taken)
        await self._acks.flush()

    async def _window(self) -> Window:
        """What to send next. With nothing new: soon a bare ping for what is under way, else wait."""
        while not self._finishing:
            if self._wake.is_set() and not self._entries:
                self._wake.clear()
                await self._read()
            if self._entries:
                await self._trusted()  # now, not behind the cut: events grow old while Redis is away
                return self._cut()
            if self._delivery.under_way:
                # The ping of the next events will do as the second one, if they come soon.
                now_s = time.monotonic()
                if not await self._woken(next_beat_s(now_s, BARE_PING_EVERY_S) - now_s):
                    break
            elif self._acks.count:
                if not await self._woken(self._acks.due_in_s):
                    await self._acks.flush()
            elif not await self._woken(KEEP_ALIVE_S):
                return Window((KEEP_ALIVE,), self._next)
        return Window((), self._next)

    async def _woken(self, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                return await self._wake.wait()
        except TimeoutError:
            return False

    async def _read(self) -> None:
        most = min(READ_ENTRIES, max(1, READ_EVENTS // self._batch_events))
        asked_s, newer_than_s = boottime_s(), max(self._complete_s, self._lease.empty_s)
        found = await patiently(partial(self._stream.read, self._read_through, most))
        if len(found) < most:
            self._complete_s = asked_s
        else:
            self._wake.set()  # there may be more
        if not found:
            return
        waiting = self._aged(found, newer_than_s)
        if self._lease.clock.read_s < asked_s and not all(ages.is_young(one.age) for one in waiting):
            # Nothing is too old by a clock that was read before: it may have been set since.
            await patiently(self._lease.look_at_clock)
            waiting = self._aged(found, newer_than_s)
        self._entries += waiting
        self._read_through = found[-1].id
        self._batch_events = max(1, *(len(entry.events) for entry in found))
        for entry, age, _ in waiting:
            happened_s = wall_s() - min(age.most_s, ages.HISTORY_S)
            for event in entry.events:
                self._mirror.happened(event, happened_s)

    def _aged(self, found: list[Entry], newer_than_s: float) -> list[_Waiting]:
        """Whatever Redis' clock says, what was not there at `newer_than_s` is no older."""
        now_s, clock = boottime_s(), self._lease.clock
        return [
            _Waiting(
                entry,
                clock.age(entry.accepted_ms, now_s, behind=entry.behind).at_most(now_s - newer_than_s),
                now_s,
            )
            for entry in found
        ]

    def _cut(self) -> Window:
        """Up to WINDOW_EVENTS events off the entries that were read, less those that are too old."""
        now_s = boottime_s()
        events: list[GameEvent] = []
        expired: list[GameEvent] = []
        size_bytes = 0
        accepted_s = now_s - self._entries[0].age_at(now_s).least_s
        while self._entries and len(events) < WINDOW_EVENTS:
            entry, age = self._entries[0].entry, self._entries[0].age_at(now_s)
            start = self._next.skip if entry.id == self._next.entry else 0
            part = entry.events[start : start + WINDOW_EVENTS - len(events)]
            fresh, old = ages.sort_out(part, age)
            events += fresh
            expired += old
            if start + len(part) < len(entry.events):
                self._next = Position(entry.id, start + len(part))
            else:
                self._entries.popleft()
                self._next = Position(_following(entry.id), 0)
                size_bytes += entry.size_bytes
        return Window(tuple(events), self._next, size_bytes, tuple(expired), accepted_s)

    async def _write(self, window: Window) -> None:
        """Writes the events with the gaps they need, and a ping behind the last."""
        await self._trusted()
        cut_s = boottime_s()
        bursts = self._gaps.spread(window.events, cut_s)
        for number, (due_s, events) in enumerate(bursts, 1):
            if (wait_s := self._gaps.wait_s(due_s, boottime_s())) > 0:
                await asyncio.sleep(wait_s)
            await self._trusted()
            if lost := self._delivery.disowned > 0:
                # Nothing newer may overtake what Takaro could not place: the rest is sent again with it.
                for _, held in bursts[number - 1 :]:
                    self._delivery.held_back(held)
            else:
                self._send(events, boottime_s() - cut_s)
            if lost or number == len(bursts):
                self._wire.send(frames.ping())
            self._wire.flush()  # now: nothing may come between the look at the lease and the write
            self._gaps.written(due_s, boottime_s())
            if lost:
                return

    def _send(self, events: list[GameEvent], older_by_s: float) -> None:
        """Events of the last window, less those that are too old by now: Redis may have been away."""
        fresh, late = ages.sort_out(events, Age(older_by_s, older_by_s))
        if late:
            self._delivery.expired(late)
        self._wire.send(*map(frames.game_event, fresh))

    async def _trusted(self) -> None:
        """Waits while Redis is away: that is no lost lease, and the socket stays (design.md, Ownership)."""
        while not self._lease.trusted:
            await self._lease.renewal()

    async def _receipt(self) -> None:
        try:
            async with asyncio.timeout(RECEIPT_WITHIN_S):
                await self._pong.wait()
        except TimeoutError:
            raise NoReceipt(f"Takaro answered no ping for {RECEIPT_WITHIN_S:.0f} s") from None
        self._pong.clear()

    async def _settle(self) -> None:
        """Hears all errors of what is under way, then gives up this pump."""
        self._wire.send(frames.ping())
        await self._receipt()
        raise Disowned(self._delivery.disowned, self._delivery.unconfirmed)

    async def _taken(self, taken: Taken) -> None:
        window = taken.window
        for refused in taken.refused:
            self._metrics.refused.inc()
            await patiently(partial(self._stream.bury, refused.reason, refused.candidates))
        if window.events == (KEEP_ALIVE,):
            return
        self._metrics.delivered_all(self._stream.slug, window.events)
        if window.events:
            self._metrics.event_seconds.observe(boottime_s() - window.accepted_s)
        self._metrics.expired_all(window.expired)
        self._passed(taken)
        self._acks.add(window)
        # What a crash would repeat stays within the bound with the next window, too.
        if not self._acks.due_in_s or self._acks.count + self.unconfirmed + WINDOW_EVENTS > MAX_REPEATED:
            await self._acks.flush()


def _following(entry: str) -> str:
    """The smallest entry id behind `entry`."""
    milliseconds, _, number = entry.partition("-")
    return f"{milliseconds}-{int(number) + 1}"
