"""Shows the backlog of instances that no uplink owns, because they have no token, or no owner yet."""

from collections.abc import Callable, Mapping

from services.relay.instances.facts import ServerCause, facts_of, server_cause
from services.relay.service.settings import Instance
from services.relay.store.client import Store
from services.uplink.reporting.metrics import UplinkMetrics


class UnownedInstances:
    """The instances of this uplink's share that it does not own. `is_held` tells whether it owns one."""

    def __init__(self, store: Store, metrics: UplinkMetrics, is_held: Callable[[str], bool]) -> None:
        self._store = store
        self._metrics = metrics
        self._is_held = is_held
        self._status: dict[str, Instance] = {}

    def keep(self, instances: Mapping[str, Instance]) -> None:
        """Forgets those that are no longer served as they were. To be called before new ones begin."""
        for slug, instance in list(self._status.items()):
            if instances.get(slug) != instance:
                self.forget(slug)

    def forget(self, slug: str) -> None:
        """Shows the instance no more. The row of an instance with a token belongs to its InstanceOwner."""
        instance = self._status.pop(slug, None)
        if instance and instance.registration_token is None:
            self._metrics.instances.forget(slug)

    async def measure(self, instance: Instance) -> ServerCause | None:
        """Shows an instance that has no owner, and returns its state. None: it has one. Raises StoreError."""
        slug, facts = instance.slug, await facts_of(self._store, instance.slug)
        if facts.uplink or self._is_held(slug):
            self.forget(slug)
            return None
        self._status[slug] = instance
        row = self._metrics.instances.row(slug)
        row.shown = lambda: self._is_held(slug) or slug in self._status
        self._metrics.show_waiting(row, facts)
        return server_cause(facts, has_token=instance.registration_token is not None)
