"""Events of one instance, from the stream to Takaro, over one socket for as long as Takaro takes them."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from services.relay.errors import RelayError, StoreError
from services.relay.event_stream import Entry, EventStream
from services.relay.leases import Lease
from services.relay.records import GameEvent
from services.uplink.metrics import Metrics
from services.uplink.takaro import frames
from services.uplink.takaro.delivery import WINDOW_EVENTS, Delivery, Position, Taken, Window
from services.uplink.wire import Wire

T = TypeVar("T")

READ_ENTRIES = 20
RECEIPT_WITHIN_S = 10.0
KEEP_ALIVE_S = 45.0
"""After 60 s without an event Takaro makes its emitter anew and loses events meanwhile (contract.md B2)."""

STORE_AGAIN_S = 0.25

KEEP_ALIVE: GameEvent = {"type": "log", "data": {"msg": "dayz-relay: nothing happened for a while"}}


class Disowned(RelayError):
    """Takaro has lost our server: identify again, and send again what is not receipted."""

    def __init__(self, lost: int, unconfirmed: int) -> None:
        super().__init__(f"Takaro could not place {lost} of {unconfirmed} events")
        self.repeated = max(0, unconfirmed - lost)


class NoReceipt(RelayError):
    """Takaro takes frames and says nothing: the socket is as good as lost."""


class EventPump:
    """Sends windows of events and takes them off the stream once they are receipted."""

    def __init__(self, stream: EventStream, wire: Wire, lease: Lease, metrics: Metrics) -> None:
        self._stream = stream
        self._wire = wire
        self._lease = lease
        self._metrics = metrics
        self._delivery = Delivery()
        self._entries: deque[Entry] = deque()
        self._next = Position("", 0)  # the first event that was not sent yet
        self._read_through = ""  # the last entry that was read
        self._finishing = False
        self._wake = asyncio.Event()
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
        self._next = Position(*await self._patiently(self._stream.cursor))
        while not self._finishing or self._delivery.unconfirmed:
            window = await self._window()
            await self._trusted()
            self._delivery.sent(window)
            self._wire.send(*map(frames.game_event, window.events), frames.ping())
            self._wire.flush()  # now: nothing may come between the look at the lease and the write
            await self._receipt()
            taken = self._delivery.ponged()
            if self._delivery.disowned:
                await self._settle()
            if taken:
                await self._acknowledge(taken)

    async def _window(self) -> Window:
        """What to send next. With nothing new: at once a bare ping for what is under way, else wait."""
        while True:
            self._wake.clear()
            if self._finishing:
                return Window((), self._next)
            if not self._entries:
                await self._read()
            if self._entries:
                return self._cut()
            if self._delivery.unconfirmed:
                return Window((), self._next)
            try:
                async with asyncio.timeout(KEEP_ALIVE_S):
                    await self._wake.wait()
            except TimeoutError:
                return Window((KEEP_ALIVE,), self._next)

    async def _read(self) -> None:
        found = await self._patiently(partial(self._stream.read, self._read_through, READ_ENTRIES))
        self._entries += found
        if found:
            self._read_through = found[-1].id

    def _cut(self) -> Window:
        """Up to WINDOW_EVENTS events off the entries that were read."""
        events: list[GameEvent] = []
        size_bytes = 0
        while self._entries and len(events) < WINDOW_EVENTS:
            entry = self._entries[0]
            start = self._next.skip if entry.id == self._next.entry else 0
            part = entry.events[start : start + WINDOW_EVENTS - len(events)]
            events += part
            if start + len(part) < len(entry.events):
                self._next = Position(entry.id, start + len(part))
            else:
                self._entries.popleft()
                self._next = Position(_following(entry.id), 0)
                size_bytes += entry.size_bytes
        return Window(tuple(events), self._next, size_bytes)

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

    async def _acknowledge(self, taken: Taken) -> None:
        window = taken.window
        for reason in taken.refused:
            self._metrics.refused.inc()
            await self._patiently(partial(self._stream.bury, reason, window.events))
        if window.events == (KEEP_ALIVE,):
            return
        self._metrics.delivered_all(window.events)
        count, size_bytes = len(window.events), window.size_bytes
        await self._patiently(partial(self._stream.ack, self._lease.token, *window.end, count, size_bytes))

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Repeats a call while Redis is away."""
        while True:
            try:
                return await call()
            except StoreError:
                await asyncio.sleep(STORE_AGAIN_S)


def _following(entry: str) -> str:
    """The smallest entry id behind `entry`."""
    milliseconds, _, number = entry.partition("-")
    return f"{milliseconds}-{int(number) + 1}"
