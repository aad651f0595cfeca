"""Instances that no uplink owns, for want of a token or an owner: the one they belong to shows what waits."""

from collections.abc import Callable, Mapping

from services.relay.instances.facts import facts_of
from services.relay.instances.server_state import ServerState, server_state
from services.relay.service.settings import Instance
from services.relay.store.client import Store
from services.uplink.reporting.metrics import UplinkMetrics


class UnownedInstances:
    """`is_held`: does this uplink own that instance? Then it shows more of it, elsewhere."""

    def __init__(self, store: Store, metrics: UplinkMetrics, is_held: Callable[[str], bool]) -> None:
        self._store = store
        self._metrics = metrics
        self._is_held = is_held
        self._status: dict[str, Instance] = {}

    def keep(self, instances: Mapping[str, Instance]) -> None:
        """Forgets those that are no longer served as they were. For before a berth is made of one."""
        for slug, instance in list(self._status.items()):
            if instances.get(slug) != instance:
                self.forget(slug)

    def forget(self, slug: str) -> None:
        """It is not shown from here any more. The row of one that has a token is its berth's."""
        instance = self._status.pop(slug, None)
        if instance and instance.registration_token is None:
            self._metrics.instances.forget(slug)

    async def measure(self, instance: Instance) -> ServerState | None:
        """Shows an instance of this uplink's share that has no owner; None: it has one. Raises StoreError."""
        slug, facts = instance.slug, await facts_of(self._store, instance.slug)
        if facts.uplink or self._is_held(slug):
            self.forget(slug)
            return None
        self._status[slug] = instance
        row = self._metrics.instances.row(slug)
        row.shown = lambda: self._is_held(slug) or slug in self._status
        self._metrics.show_waiting(row, facts)
        return server_state(facts, has_token=instance.registration_token is not None)
