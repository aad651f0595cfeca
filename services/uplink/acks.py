"""Takes delivered events off the stream, several windows at a time: each call is a sync to the disk."""

import time

from services.relay.clocks import next_beat_s
from services.relay.errors import LostLease
from services.relay.event_stream import EventStream
from services.relay.leases import Lease
from services.relay.store import patiently
from services.uplink.metrics import Metrics
from services.uplink.takaro.delivery import Window

ACK_EVERY_S = 0.1
"""All instances at the same moments: their calls share a round trip and a sync."""


class Acks:
    """What Takaro has and the stream still holds. Outlives a socket: a reconnect repeats none of it."""

    def __init__(self, stream: EventStream, lease: Lease, metrics: Metrics) -> None:
        self._stream = stream
        self._lease = lease
        self._metrics = metrics
        self._last: Window | None = None
        self._due_s = 0.0
        self._size_bytes = 0
        self.count = 0
        """Events that a crash now would repeat although Takaro has them."""

    @property
    def due_in_s(self) -> float:
        """How long until they are to be flushed."""
        return max(0.0, self._due_s - time.monotonic())

    def add(self, window: Window) -> None:
        """Takaro has this window, and all before it."""
        if self._last is None:
            self._due_s = next_beat_s(time.monotonic(), ACK_EVERY_S)
        self._last = window
        self.count += window.counts
        self._size_bytes += window.size_bytes

    async def flush(self) -> None:
        """Takes them off, as soon as Redis is there. Raises LostLease."""
        if self._last:
            await patiently(self._ack)

    async def _ack(self) -> None:
        assert self._last
        end = self._last.end
        try:
            await self._stream.ack(self._lease.token, end.entry, end.skip, self.count, self._size_bytes)
        except LostLease:
            self._metrics.fenced.labels("ack").inc()
            raise
        self._last, self.count, self._size_bytes = None, 0, 0
