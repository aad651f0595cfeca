"""Takes delivered events off the stream, several windows at a time: each call is a sync to the disk."""

import time
from collections.abc import Sequence

from services.relay.protocol.errors import LostLease
from services.relay.service.clocks import next_beat_s
from services.relay.store.client import patiently
from services.relay.store.event_stream import EventStream
from services.relay.store.leases import Lease
from services.relay.store.stream_entries import Delivered
from services.uplink.events.progress import Progress, StreamEvent
from services.uplink.reporting.metrics import UplinkMetrics

ACK_EVERY_S = 0.1
"""All instances at the same moments: their calls share a round trip and a sync."""

MOST_AT_ONCE = 512
"""So many events at most leave the stream by one call: a script does not hold up Redis."""


class Acknowledgements:
    """What Takaro has and the stream still holds. Outlives a socket: a reconnect repeats none of it."""

    def __init__(self, stream: EventStream, lease: Lease, metrics: UplinkMetrics) -> None:
        self._stream = stream
        self._lease = lease
        self._metrics = metrics
        self._progress = Progress(Delivered())
        self._due_s = 0.0
        self._count = 0
        self.sent = 0
        """Events that a crash now would repeat although Takaro has them."""

    @property
    def due_in_s(self) -> float:
        """How long until they are to be flushed; infinite: there are none."""
        if not self._count:
            return float("inf")
        return 0.0 if self._count >= MOST_AT_ONCE else max(0.0, self._due_s - time.monotonic())

    async def begin(self) -> Progress:
        """How far the delivery has come, from now on to be told by `add`. Raises LostLease."""
        await self.flush()
        self._progress = Progress(await patiently(self._stream.delivered))
        return self._progress

    def add(self, events: Sequence[StreamEvent], *, sent: bool) -> None:
        """Takaro has these events, or, not `sent`, they were too old for it."""
        if not self._count:
            self._due_s = next_beat_s(time.monotonic(), ACK_EVERY_S)
        self._progress.done(events)
        self._count += len(events)
        self.sent += len(events) if sent else 0

    async def flush(self) -> None:
        """Takes them off, as soon as Redis is there. Raises LostLease."""
        if self._count:
            await patiently(self._ack)

    async def _ack(self) -> None:
        progress = self._progress
        try:
            await self._stream.ack(
                self._lease.token, progress.delivered(), self._count, progress.size_bytes, progress.gone
            )
        except LostLease:
            self._metrics.fenced.labels("ack").inc()
            raise
        progress.acknowledged()
        self._count = self.sent = 0
