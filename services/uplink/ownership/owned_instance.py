"""What runs for one instance while this uplink owns it or stands by for it."""

import asyncio
import contextlib
import time
from functools import partial

from services.relay.instances.facts import InstanceData
from services.relay.protocol.errors import LostLease, StoreError
from services.relay.protocol.link_states import LinkState
from services.relay.service.clocks import boottime_s
from services.relay.service.faults import FaultKind
from services.relay.service.instance_series import SeriesRow
from services.relay.service.lifecycle import cancelled
from services.relay.service.logs import InstanceLogger
from services.relay.service.settings import Instance
from services.relay.store.command_stream import CommandStream
from services.relay.store.event_stream import EventStream
from services.relay.store.lease_renewal import LeaseRenewal
from services.relay.store.leases import Lease
from services.uplink.connection.closing_times import LEAVE_WITHIN_S, ClosingTimes
from services.uplink.connection.link import Link
from services.uplink.context import UplinkContext
from services.uplink.events.consumer import StreamConsumer
from services.uplink.events.delivery import Delivery
from services.uplink.reporting.activity_log import ActivityLog
from services.uplink.reporting.link_status import LinkStatus
from services.uplink.reporting.metrics import MIRROR_AGE, MIRROR_PARTS, PLAYERS
from services.uplink.requests.command_queue import CommandQueue
from services.uplink.requests.handler import RequestHandler
from services.uplink.requests.mirror.mirror import Mirror
from services.uplink.requests.mirror.persistence import MirrorPersistence
from services.uplink.requests.mod_contact import ModContact
from services.uplink.requests.reads import Reads
from services.uplink.requests.results import ResultReader

SAVED_WITHIN_S = 0.5


class OwnedInstance:
    """The link of one instance to Takaro, and what answers Takaro's requests over it."""

    def __init__(self, instance: Instance, context: UplinkContext, lease: Lease, contact: ModContact) -> None:
        store, metrics, limits = context.store, context.metrics, context.limits
        data = InstanceData(store, instance.slug)
        self._faults = metrics.service.faults
        self._logger = InstanceLogger(__name__, instance.slug)
        self.mirror = Mirror(limits, metrics.beyond)
        self._persistence = MirrorPersistence(store, lease, self.mirror, metrics)
        commands = CommandStream(store, instance.slug, limits.open_commands)
        self.activity = ActivityLog(store, instance.slug)
        results = ResultReader(commands, lease, metrics)
        self._command_queue = CommandQueue(results, contact, context.stalls, self.activity.command_ended)
        self._reads = Reads(self._command_queue, self._persistence, data, context.reads_per_s)
        self.handler = RequestHandler(self._command_queue, self._reads, self.mirror, limits.frame_out_bytes)
        events = EventStream(store, instance.slug)
        self._consumer = StreamConsumer(
            events, self.mirror, lease, metrics, self.activity.events_ended, self._reads.joined
        )
        self.status = LinkStatus(data, lease, metrics)
        self._delivery = Delivery(self._consumer, self.status, context.times)
        self.link = Link(instance, context, lease, self.handler, self.status, self._delivery.move_to)

    async def run(self) -> None:
        """Links and answers requests until `leave`. Sends events if the lease is ours. Raises LostLease."""
        keep_running = partial(self._faults.keep_running, self._logger)
        loops = self._command_queue.results.run, self._reads.run, self._persistence.run
        parts = self._delivery.run(), self.link.run(), *map(keep_running, loops)
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        except LostLease:
            self.status.closed = True  # from now on the new owner shows its own state
            await self.link.leave(time.monotonic() + LEAVE_WITHIN_S)
            raise
        finally:
            for task in tasks:
                await cancelled(task)
            self.handler.close()
            self.activity.close()

    async def drain(self) -> None:
        """Sends no new events. Returns when Takaro has those under way. Requests are still answered."""
        await self._delivery.finish()
        self.status.show(LinkState.STOPPED)
        self.status.closed = True
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(SAVED_WITHIN_S):
                await asyncio.gather(self.status.publish(), self._persistence.save())

    async def leave(self, closing_times: ClosingTimes, elsewhere: asyncio.Event | None = None) -> None:
        """Closes the sockets by these moments, once their requests are answered. Then `run` ends."""
        self.status.closed = True  # the link that follows shows its own state, also one of this uplink
        self.handler.refused_from_s = closing_times.refused_from_s
        ending = asyncio.create_task(self._end_commands(closing_times))
        try:
            await asyncio.gather(
                self._delivery.finish(), self.link.leave(closing_times.cut_short_s, elsewhere)
            )
        finally:
            await cancelled(ending)

    async def _end_commands(self, closing_times: ClosingTimes) -> None:
        with self._faults.contain(self._logger, FaultKind.LOOP):
            await asyncio.gather(self._command_queue.leave(closing_times), self._reads.leave(closing_times))

    def renewed(self, renewal: LeaseRenewal) -> None:
        """Takes in what a renewal of the lease has found. So lost hints do no harm."""
        self._consumer.watched = bool(renewal.watched)
        self.wake(events=renewal.batches != self._consumer.progress.entries, results=bool(renewal.results))

    def wake(self, *, events: bool, results: bool, batch: bytes = b"") -> None:
        """There may be events to send, those of `batch` among them, or results of commands."""
        if events:
            self._consumer.wake(batch=batch)
        if results:
            self._command_queue.results.wake()

    def measure(self, row: SeriesRow) -> None:
        """Sets the metrics of the game in the row of this instance."""
        row.set(PLAYERS, self.mirror.online)
        for part, action in MIRROR_PARTS.items():
            oldest_s = self.mirror.oldest_s(action)
            row.set(MIRROR_AGE, -1.0 if oldest_s is None else max(0.0, boottime_s() - oldest_s), part)
