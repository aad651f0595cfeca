"""The instances of this uplink: which of them it owns, their links, and what wakes these."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable

from redis.exceptions import RedisError

from services.relay.command_stream import CommandStream
from services.relay.errors import LostLease, StoreError
from services.relay.event_stream import EventStream
from services.relay.instance_state import InstanceState
from services.relay.keys import WAKE_UPLINK
from services.relay.leases import RENEW_EVERY_S, Lease
from services.relay.logs import InstanceLogger
from services.relay.running import cancelled
from services.relay.settings import Instance
from services.relay.store import Store
from services.relay.sweep import sweep
from services.uplink.desk import Desk
from services.uplink.link import Link
from services.uplink.metrics import Metrics
from services.uplink.takaro.contact import Contact

SWEEP_EVERY_S = 1.0
SUBSCRIBE_AGAIN_S = 1.0
FINISH_WITHIN_S = 1.0
"""How long a link that is ended on purpose may take to hear the receipts of what it has sent."""

logger = logging.getLogger(__name__)


class Berth:
    """One instance's place in this process: the lease on it, and its link while the lease is ours."""

    def __init__(self, instance: Instance, takaro_url: str, store: Store, metrics: Metrics) -> None:
        self.slug = instance.slug
        self.lease = Lease(store, instance.slug)
        self.contact = Contact(time.monotonic())
        self._instance = instance
        self._url = takaro_url
        self._store = store
        self._metrics = metrics
        self._logger = InstanceLogger(logger, instance.slug)
        self._link: Link | None = None
        self._running: asyncio.Task[None] | None = None

    async def tend(self) -> None:
        """Renews the lease, or tries to get it; starts and ends the link accordingly."""
        try:
            held = await self.lease.renew()
        except StoreError:
            return  # no lost lease: the link goes on, and stops sending by itself when the time is up
        if self._running and self._running.done():
            self._report(self._running)
            self._running = self._link = None
        if held and not self._running:
            self._link = self._new_link()
            self._running = asyncio.create_task(self._link.run())
        elif not held and self._running:
            self._logger.warning("another uplink owns this instance now")
            await self.stop()
        if self._link:
            await self._link.publish()

    async def stop(self) -> None:
        """Ends the link, then gives the lease back: another uplink may go on where we stopped."""
        if self._link and self._running:
            if self.lease.held and self._link.finish():
                await asyncio.wait([self._running], timeout=FINISH_WITHIN_S)
            await cancelled(self._running)
        self._running = self._link = None
        with contextlib.suppress(StoreError):
            await self.lease.release()

    def wake(self) -> None:
        if self._link:
            self._link.wake()

    def _new_link(self) -> Link:
        state = InstanceState(self._store, self.slug)
        commands = CommandStream(self._store, self.slug)
        desk = Desk(commands, state, self.contact, self.lease, self._metrics)
        events = EventStream(self._store, self.slug)
        return Link(self._instance, self._url, events, state, desk, self.lease, self._metrics)

    def _report(self, ended: asyncio.Task[None]) -> None:
        error = None if ended.cancelled() else ended.exception()
        if isinstance(error, LostLease):
            self._logger.warning("%s", error)
        elif error:
            self._logger.error("the link failed and is started again", exc_info=error)


class Fleet:
    """All instances that have what it takes to reach Takaro."""

    def __init__(
        self, instances: Iterable[Instance], takaro_url: str, store: Store, metrics: Metrics
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._berths: dict[str, Berth] = {}
        for instance in instances:
            if instance.registration_token:
                self._berths[instance.slug] = Berth(instance, takaro_url, store, metrics)
            else:
                InstanceLogger(logger, instance.slug).warning(
                    "no registration token: events are kept, nothing reaches Takaro yet"
                )

    async def run(self) -> None:
        """Never returns; when it is cancelled, links are closed and leases given back."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_leases())
                group.create_task(self._sweep())
                group.create_task(self._listen())
        finally:
            await asyncio.gather(*(berth.stop() for berth in self._berths.values()))

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.gather(*(berth.tend() for berth in self._berths.values()))
            self._metrics.leases.set(sum(berth.lease.held for berth in self._berths.values()))
            await asyncio.sleep(RENEW_EVERY_S)

    async def _sweep(self) -> None:
        """Finds what a lost hint left lying, and hears how long each mod has been silent."""
        while True:
            try:
                now_ms, found = await sweep(self._store, list(self._berths))
            except StoreError:
                for berth in self._berths.values():
                    berth.contact.lost_store()
            else:
                now_s = time.monotonic()
                for berth, facts in zip(self._berths.values(), found, strict=True):
                    berth.contact.read(now_s, now_ms, facts.contact_ms)
                    self._metrics.backlog.labels(berth.slug).set(facts.batches)
                    if facts.batches or facts.results:
                        berth.wake()
            await asyncio.sleep(SWEEP_EVERY_S)

    async def _listen(self) -> None:
        """Wakes a link as soon as there is something for it."""
        while True:
            try:
                async with self._store.redis.pubsub() as hints:
                    await hints.subscribe(WAKE_UPLINK)
                    while True:
                        hint = await hints.get_message(ignore_subscribe_messages=True, timeout=SWEEP_EVERY_S)
                        if hint and (berth := self._berths.get(hint["data"].decode())):
                            berth.wake()
            except (RedisError, OSError):
                await asyncio.sleep(SUBSCRIBE_AGAIN_S)
