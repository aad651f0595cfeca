"""Everything that goes on for one instance while it is ours."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from services.relay.command_stream import CommandStream
from services.relay.errors import StoreError
from services.relay.event_stream import EventStream
from services.relay.instance_state import InstanceState
from services.relay.leases import Lease
from services.relay.running import cancelled
from services.relay.settings import Instance
from services.relay.store import Store
from services.relay.vocabulary import Action
from services.uplink.asking import Asking
from services.uplink.desk import Desk
from services.uplink.link import Link
from services.uplink.metrics import MIRROR_PARTS, Metrics
from services.uplink.mirror.keeper import Keeper
from services.uplink.mirror.state import Mirror
from services.uplink.reads import Reads
from services.uplink.takaro.contact import Contact


class OwnedInstance:
    """The link of one instance to Takaro, and what answers Takaro's requests over it."""

    def __init__(
        self,
        instance: Instance,
        takaro_url: str,
        reads_per_s: float,
        store: Store,
        lease: Lease,
        contact: Contact,
        metrics: Metrics,
        turn: Callable[[], Awaitable[None]],
    ) -> None:
        state = InstanceState(store, instance.slug)
        self._mirror = Mirror()
        self._keeper = Keeper(store, instance.slug, lease, self._mirror)
        self._asking = Asking(CommandStream(store, instance.slug), contact, lease, metrics)
        self._reads = Reads(self._asking, self._mirror, self._keeper, state, contact, metrics, reads_per_s)
        desk = Desk(self._asking, self._reads, self._mirror, contact, metrics)
        events = EventStream(store, instance.slug)
        self._link = Link(instance, takaro_url, events, state, desk, self._mirror, lease, metrics)
        for part, action in MIRROR_PARTS.items():
            age = metrics.mirror_age.labels(instance.slug, part)
            age.set_function(partial(self._age_s, action))

    async def run(self) -> None:
        """Until `finish`. Raises LostLease; ends cleanly when cancelled."""
        parts: list[Coroutine[Any, Any, None]] = [
            self._link.run(),
            self._asking.pass_results_on(),
            self._reads.run(),
            self._keeper.run(),
        ]
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            for task in tasks:
                await cancelled(task)
            with contextlib.suppress(StoreError):
                await self._keeper.save()

    @property
    def identified(self) -> bool:
        """Is there a socket that Takaro has accepted?"""
        return self._link.identified

    def reconnect(self) -> None:
        """Have a new socket."""

    async def drain(self) -> None:
        """Sends no new events; returns when those under way are receipted."""
        self._link.finish()
        with contextlib.suppress(TimeoutError):
            await self._link.wait_finished(1.0)

    async def leave(self, within_s: float) -> None:
        """Closes the socket."""
        self._link.finish()

    def wake(self, *, events: bool, results: bool) -> None:
        """There may be something to fetch."""
        if events:
            self._link.wake()
        if results:
            self._asking.wake()

    def game_restarted(self) -> None:
        """The game server was away and is back: it starts without players."""
        self._mirror.restarted(time.time())

    async def publish(self) -> None:
        """Writes down the link's state if that could not be done when it changed."""
        await self._link.publish()

    def _age_s(self, action: Action) -> float:
        oldest_s = self._mirror.oldest_s(action)
        return -1.0 if oldest_s is None else max(0.0, time.time() - oldest_s)
