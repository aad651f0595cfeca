"""The instances of this uplink: which of them it owns, their links, and what wakes these."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable

from services.relay.errors import LostLease, StoreError
from services.relay.keys import WAKE_EVENTS, WAKE_RESULTS
from services.relay.leases import RENEW_EVERY_S, Lease
from services.relay.logs import InstanceLogger
from services.relay.running import cancelled
from services.relay.settings import Instance
from services.relay.store import Store
from services.relay.sweep import Found, sweep
from services.uplink.metrics import Metrics
from services.uplink.owned import OwnedInstance
from services.uplink.takaro.contact import Contact

SWEEP_EVERY_S = 1.0
SUBSCRIBE_AGAIN_S = 1.0
FINISH_WITHIN_S = 1.0
"""How long a link that is ended on purpose may take to hear the receipts of what it has sent."""

logger = logging.getLogger(__name__)


class Berth:
    """One instance's place in this process: the lease on it, and all that goes on while it is ours."""

    def __init__(
        self, instance: Instance, takaro_url: str, reads_per_s: float, store: Store, metrics: Metrics
    ) -> None:
        self.slug = instance.slug
        self.lease = Lease(store, instance.slug)
        self.contact = Contact(time.monotonic())
        self._instance = instance
        self._url = takaro_url
        self._reads_per_s = reads_per_s
        self._store = store
        self._metrics = metrics
        self._logger = InstanceLogger(logger, instance.slug)
        self._owned: OwnedInstance | None = None
        self._running: asyncio.Task[None] | None = None

    async def tend(self) -> None:
        """Renews the lease, or tries to get it; starts and ends the link accordingly."""
        try:
            held = await self.lease.renew()
        except StoreError:
            return  # no lost lease: the link goes on, and stops sending by itself when the time is up
        if self._running and self._running.done():
            self._report(self._running)
            self._running = self._owned = None
        if held and not self._running:
            self._owned = OwnedInstance(
                self._instance,
                self._url,
                self._reads_per_s,
                self._store,
                self.lease,
                self.contact,
                self._metrics,
            )
            self._running = asyncio.create_task(self._owned.run())
        elif not held and self._running:
            self._logger.warning("another uplink owns this instance now")
            await self.stop()
        if self._owned:
            await self._owned.publish()

    async def stop(self) -> None:
        """Ends the link, then gives the lease back: another uplink may go on where we stopped."""
        if self._owned and self._running:
            if self.lease.held and self._owned.finish():
                await asyncio.wait([self._running], timeout=FINISH_WITHIN_S)
            await cancelled(self._running)
        self._running = self._owned = None
        with contextlib.suppress(StoreError):
            await self.lease.release()

    def wake(self, *, events: bool, results: bool) -> None:
        """There is something to fetch."""
        if self._owned:
            self._owned.wake(events=events, results=results)

    def look(self, now_s: float, store_now_ms: int, found: Found) -> None:
        """The sweep came by."""
        restarted = self.contact.read(now_s, store_now_ms, found.contact_ms)
        self._metrics.backlog.labels(self.slug).set(found.batches)
        if self._owned and restarted:
            self._logger.info("the game server has started anew")
            self._owned.game_restarted()
        self.wake(events=bool(found.batches), results=bool(found.results))

    def _report(self, ended: asyncio.Task[None]) -> None:
        error = None if ended.cancelled() else ended.exception()
        if isinstance(error, LostLease):
            self._logger.warning("%s", error)
        elif error:
            self._logger.error("the link failed and is started again", exc_info=error)


class Fleet:
    """All instances that have what it takes to reach Takaro."""

    def __init__(
        self,
        instances: Iterable[Instance],
        takaro_url: str,
        reads_per_s: float,
        store: Store,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._berths: dict[str, Berth] = {}
        for instance in instances:
            if instance.registration_token:
                self._berths[instance.slug] = Berth(instance, takaro_url, reads_per_s, store, metrics)
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
                    berth.look(now_s, now_ms, facts)
            await asyncio.sleep(SWEEP_EVERY_S)

    async def _listen(self) -> None:
        """Wakes an instance as soon as there is something for it."""
        while True:
            try:
                async for channel, slugs in self._store.hints(WAKE_EVENTS, WAKE_RESULTS):
                    for slug in slugs:
                        if berth := self._berths.get(slug):
                            berth.wake(events=channel == WAKE_EVENTS, results=channel == WAKE_RESULTS)
            except StoreError:
                await asyncio.sleep(SUBSCRIBE_AGAIN_S)
