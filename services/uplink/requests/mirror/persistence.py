"""Keeps the mirror of one instance in Redis, so that the next owner does not start from nothing."""

import asyncio
from itertools import chain

from services.relay.protocol.keys import keys_of
from services.relay.protocol.vocabulary import Action
from services.relay.service.clocks import wall_s
from services.relay.store.client import Script, Store, pairs, patiently
from services.relay.store.leases import Lease
from services.uplink.reporting.metrics import UplinkMetrics
from services.uplink.requests.mirror.mirror import Mirror

SAVE_EVERY_S = 2.0
"""What is known only since then is lost with the process: it costs a few questions to the mod."""

_SAVE = Script("save_mirror")


class MirrorPersistence:
    """Loads and saves what is known of the instance `slug`."""

    def __init__(self, store: Store, slug: str, lease: Lease, mirror: Mirror, metrics: UplinkMetrics) -> None:
        self._store = store
        self._keys = keys_of(slug)
        self._lease = lease
        self._mirror = mirror
        self._metrics = metrics

    async def run(self) -> None:
        """Loads at once, and again when the lease is ours: its last holder saved until then. Then saves what
        changes. Never returns."""
        await patiently(self._load)
        if not self._lease.held:
            await self._lease.taken()
            await patiently(self._load)
        while True:
            await asyncio.sleep(SAVE_EVERY_S)
            await patiently(self.save)

    async def save(self) -> None:
        """Saves what changed, if the lease is ours. Changes that were not saved are kept, also when this is
        cancelled. Raises StoreError."""
        if not self._lease.held:
            return
        changes = self._mirror.take_changes()
        if not changes.mirror:
            return
        keys = (self._keys.lease, self._keys.mirror, self._keys.catalogues)
        fields = (part for pair in chain(changes.mirror.items(), changes.catalogues.items()) for part in pair)
        saved = False
        try:
            saved = await self._store.run(_SAVE, keys, self._lease.token, 2 * len(changes.mirror), *fields)
            if not saved:
                self._metrics.fenced.labels("mirror").inc()
        finally:  # also when the caller's time is up: to save them twice does no harm
            if not saved:
                self._mirror.put_back(changes)

    async def catalogue(self, action: Action) -> bytes | None:
        """A catalogue as it goes out to Takaro. Raises StoreError."""
        stored: bytes | None = await self._store.send("HGET", self._keys.catalogues, action)
        return stored

    async def _load(self) -> None:
        stored = await self._store.send("HGETALL", self._keys.mirror)
        self._mirror.restore({name.decode(): value for name, value in pairs(stored)}, wall_s())
