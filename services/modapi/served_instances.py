"""The instances that this modapi serves, and their keys. Both follow the directory."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from services.modapi.http.calls import Credentials
from services.modapi.metrics import ModapiMetrics
from services.modapi.served_instance import ServedInstance
from services.relay.instances.definitions import DefinedInstance
from services.relay.instances.wrong_keys import WrongKeyCalls
from services.relay.protocol.keys import WAKE_MODAPI
from services.relay.protocol.limits import DEFAULT_LIMITS, Limits
from services.relay.service.faults import FaultKind
from services.relay.service.logs import InstanceLogger
from services.relay.service.settings import ModApi
from services.relay.store.client import Store, resubscribing

RESULTS_TAKEN_FOR_S = 12.0
"""How long results are still taken from the mod of an instance that is no longer served. uplink waits 11 s
for the results of commands that were handed out before."""


class ServedInstances:
    """The served instances. `complete`: whether the stored ones are known. Only then can a key be wrong.

    13 fields: five are handed on to each instance that is made here.
    """

    def __init__(
        self,
        store: Store,
        metrics: ModapiMetrics,
        logger: logging.Logger,
        settings: ModApi,
        limits: Limits = DEFAULT_LIMITS,
        *,
        complete: Callable[[], bool] = lambda: True,
    ) -> None:
        self.instances: dict[str, ServedInstance] = {}
        self.credentials = Credentials(loopback_only=settings.loopback_only)
        self.wrong_calls = WrongKeyCalls(store)
        self.complete = complete
        self.results_taken_for_s = RESULTS_TAKEN_FOR_S
        self._gone: dict[str, tuple[ServedInstance, float]] = {}
        self._keys: dict[str, frozenset[str]] = {}
        self._subscribed = False
        self.store = store
        self._metrics = metrics
        self._logger = logger
        self._hold_polls_s = settings.hold_polls_s
        self.limits = limits

    def update(self, served: Mapping[str, DefinedInstance]) -> None:
        """Serves these instances from now on. Ends held polls of instances that are gone or lost a key."""
        self.credentials.replace(served.values())
        now_s = time.monotonic()
        self._gone = {slug: gone for slug, gone in self._gone.items() if gone[1] > now_s}
        for slug in self.instances.keys() - served.keys():
            instance = self.instances.pop(slug)
            instance.polls.close()
            self._gone[slug] = instance, now_s + self.results_taken_for_s
        keys = {slug: frozenset(key.digest for key in one.keys) for slug, one in served.items()}
        for slug, one in served.items():
            logger = InstanceLogger(self._logger.name, slug)
            with self._metrics.service.faults.contain(logger, FaultKind.LISTENER):
                if slug not in self.instances:
                    self.instances[slug] = ServedInstance(
                        one.instance, self.store, self._metrics, logger, self._hold_polls_s, self.limits
                    )
                else:
                    self.instances[slug].follow(one.instance)
                    if self._keys[slug] - keys[slug]:
                        self.instances[slug].polls.close()
                if self._subscribed:
                    self.instances[slug].polls.open()
        self._keys = keys

    def lately_served(self, key: str) -> ServedInstance | None:
        """The instance that `key` opened, if it was served until a moment ago. Only the results of commands
        that its mod fetched before are still taken."""
        slug = self.credentials.former_slug_for(key)
        instance, until_s = self._gone.get(slug, (None, 0.0))
        return instance if slug not in self.instances and time.monotonic() < until_s else None

    async def listen(self) -> None:
        """Wakes the poll of an instance when a hint says that it has a command. Polls are held only while
        hints arrive. Never returns."""
        try:
            async for _, slugs in resubscribing(lambda: self.store.hints(WAKE_MODAPI), self._unsubscribed):
                if not slugs:  # subscribed: from here on no hint is missed
                    self._subscribed = True
                    for instance in self.instances.values():
                        instance.polls.open()
                for slug in slugs:
                    if served := self.instances.get(slug):
                        served.polls.wake()
        finally:
            self._unsubscribed()

    async def write_notes(self) -> None:
        """Writes the notes about answers that still wait. Without them another modapi could take the next
        batch of a mod, if it is equal to the last one, for a repeat."""
        served = self.instances.values()
        intakes = (intake for one in served for intake in (one.intake, one.agent_intake))
        await asyncio.gather(*(intake.stream.notes.write() for intake in intakes))

    def _unsubscribed(self) -> None:
        self._subscribed = False
        for instance in self.instances.values():
            instance.polls.close()
