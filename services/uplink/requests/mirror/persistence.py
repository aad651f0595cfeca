"""Saves the mirror of one instance in Redis, so that the next owner does not start from nothing."""

import asyncio
from collections.abc import Iterator
from itertools import chain

from services.relay.protocol.keys import keys_of
from services.relay.protocol.vocabulary import Action
from services.relay.service.clocks import TIMER_EARLY_S, WALL_AHEAD_S, boottime_s, next_shared_s, offset_of
from services.relay.store.client import Script, Store, pairs, until_redis_answers
from services.relay.store.leases import Lease
from services.uplink.reporting.metrics import UplinkMetrics
from services.uplink.requests.mirror.mirror import Mirror

SAVE_EVERY_S = 10.0  # a process that dies loses the changes of this time, which costs the mod a few reads

SAVE_PLAYERS_EVERY_S = 2.0  # the same for the list of who is online: the page and the API show it

_SAVE = Script("save_mirror")


class MirrorPersistence:
    """Loads and saves the mirror of the instance of `lease`."""

    def __init__(self, store: Store, lease: Lease, mirror: Mirror, metrics: UplinkMetrics) -> None:
        self._store = store
        self._keys = keys_of(lease.slug)
        self._lease = lease
        self.mirror = mirror
        self._metrics = metrics

    async def run(self) -> None:
        """Loads the mirror, and again once the lease is ours: the last owner saves until then. From then on
        saves what changes. Never returns."""
        await until_redis_answers(self._load)
        if not self._lease.held:
            await self._lease.until_held()
            await until_redis_answers(self._load)
        offset_s = offset_of(self._lease.slug, SAVE_EVERY_S, SAVE_PLAYERS_EVERY_S)
        while True:
            now_s = boottime_s()
            due_s = next_shared_s(now_s, SAVE_EVERY_S, offset_s)
            wake_s = next_shared_s(now_s, SAVE_PLAYERS_EVERY_S)
            await asyncio.sleep(wake_s - now_s + TIMER_EARLY_S)
            if self.mirror.players_changed or wake_s >= due_s:
                await until_redis_answers(self.save)

    async def save(self) -> None:
        """Saves what has changed, if the lease is ours. Changes that could not be saved are kept, also when
        this is cancelled. Raises StoreError."""
        if not self._lease.held:
            return
        changes = self.mirror.take_changes(WALL_AHEAD_S)
        if not changes.mirror:
            return
        keys = (self._keys.lease, self._keys.mirror, self._keys.catalogues)
        fields: Iterator[str | bytes] = chain.from_iterable(
            (*changes.mirror.items(), *changes.catalogues.items())
        )
        saved = False
        try:
            saved = await self._store.run(_SAVE, keys, self._lease.token, 2 * len(changes.mirror), *fields)
            if not saved:
                self._metrics.fenced.labels("mirror").inc()
        finally:  # also when the caller's time is up: saving them twice does no harm
            if not saved:
                self.mirror.put_back(changes)

    async def catalogue(self, action: Action) -> bytes | None:
        """A catalogue in the form in which Takaro gets it, None if there is none. Raises StoreError."""
        stored: bytes | None = await self._store.send("HGET", self._keys.catalogues, action)
        return stored

    async def _load(self) -> None:
        stored = await self._store.send("HGETALL", self._keys.mirror)
        fields = {name.decode(): value for name, value in pairs(stored)}
        self.mirror.restore(fields, boottime_s(), WALL_AHEAD_S)
