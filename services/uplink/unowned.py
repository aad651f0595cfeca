"""Instances that no uplink owns, for want of a token or an owner: the one they belong to shows what waits."""

from collections.abc import Callable, Mapping

from services.relay.instances.facts import facts_of
from services.relay.settings import Instance
from services.relay.store import Store
from services.uplink.metrics import Metrics
from services.uplink.standing import Standing, standing


class Unowned:
    """`is_held`: does this uplink own that instance? Then it shows more of it, elsewhere."""

    def __init__(self, store: Store, metrics: Metrics, is_held: Callable[[str], bool]) -> None:
        self._store = store
        self._metrics = metrics
        self._is_held = is_held
        self._shown: dict[str, Instance] = {}

    def keep(self, instances: Mapping[str, Instance]) -> None:
        """Forgets those that are no longer served as they were. For before a berth is made of one."""
        for slug, instance in list(self._shown.items()):
            if instances.get(slug) != instance:
                self.forget(slug)

    def forget(self, slug: str) -> None:
        """It is not shown from here any more. The row of one that has a token is its berth's."""
        instance = self._shown.pop(slug, None)
        if instance and instance.registration_token is None:
            self._metrics.instances.forget(slug)

    async def measure(self, instance: Instance) -> Standing | None:
        """Shows an instance of this uplink's share that has no owner; None: it has one. Raises StoreError."""
        slug, facts = instance.slug, await facts_of(self._store, instance.slug)
        if facts.uplink or self._is_held(slug):
            self.forget(slug)
            return None
        self._shown[slug] = instance
        row = self._metrics.instances.row(slug)
        row.shown = lambda: self._is_held(slug) or slug in self._shown
        self._metrics.show_waiting(row, facts)
        return standing(facts, has_token=instance.registration_token is not None)
