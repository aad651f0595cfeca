"""Keeps the table of instances up to date from relay.toml and Redis while the service runs.

If the file is wrong or Redis is away, the last known instances stay.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from services.relay.instances.definitions import DefinedInstance, active, merge
from services.relay.instances.records import Record, open_replaced_keys
from services.relay.instances.registry import Registry
from services.relay.instances.settings_file import SettingsFile
from services.relay.protocol.errors import StoreError
from services.relay.protocol.keys import WAKE_INSTANCES
from services.relay.service.clocks import until_shared_s
from services.relay.service.lifecycle import collect_garbage_for
from services.relay.service.logs import CHANGE, InstanceLogger, hide
from services.relay.service.settings import NO_INSTANCE, Instance, Settings
from services.relay.service.settings_warnings import equal_names, secrets_in
from services.relay.store.client import Store, resubscribing

CHECK_EVERY_S = 1.0

logger = logging.getLogger(__name__)


class Directory:
    """The instances of this relay. `config` and `reload_failed` are those of SettingsFile."""

    def __init__(
        self,
        settings: Settings,
        config: Path | None,
        environ: Mapping[str, str],
        store: Store,
        reload_failed: Callable[[float], object],
    ) -> None:
        self.file = SettingsFile(settings, config, environ, reload_failed)
        self.registry = Registry(store, lambda: self.file.settings.instances)
        self.defined: dict[str, DefinedInstance] = {}
        self.complete = asyncio.Event()  # set once the instances in Redis are known too
        self._store = store
        self._store_nudge = asyncio.Event()
        self._version: str | None = None
        self._stored: dict[str, Record] = {}
        self._merged_of: tuple[Settings, dict[str, Record], tuple[str, ...], bool] | None = None
        self._reported: dict[str, DefinedInstance] | None = None  # the last argument of `changed`
        self._warned_of_none = False
        self._warned_equal_names = set(equal_names(settings.instances))  # logged at the start

    async def watch(self, changed: Callable[[Mapping[str, DefinedInstance]], object]) -> None:
        """Calls `changed` with the served instances, now and after each change. Never returns."""
        if hangup := getattr(signal, "SIGHUP", None):  # Windows has none
            asyncio.get_running_loop().add_signal_handler(hangup, self.file.reread)
        self._report(changed)
        # Two tasks: while Redis is away, changes of the file still take effect.
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._follow(self.file.check, self.file.nudge, changed))
            group.create_task(self._follow(self._read_store, self._store_nudge, changed))

    async def current(self) -> dict[str, DefinedInstance]:
        """All instances, as they are stored at this moment. Raises StoreError."""
        found = await self.registry.records.read(self._version)
        records = found.records()
        return self.defined if records is None else self._merged(records)

    def about(self) -> dict[str, str | list[str]]:
        """What `/readyz` shows about the settings."""
        return {"restart_needed_for": self.file.waits_for_restart, "settings_refused": self.file.complaint}

    async def _follow(
        self,
        check: Callable[[], Awaitable[None]],
        nudge: asyncio.Event,
        changed: Callable[[Mapping[str, DefinedInstance]], object],
    ) -> None:
        while True:
            nudge.clear()
            await check()
            self._report(changed)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(until_shared_s(CHECK_EVERY_S)):
                    await nudge.wait()

    async def _listen(self) -> None:
        async for _ in resubscribing(lambda: self._store.hints(WAKE_INSTANCES)):
            self._store_nudge.set()

    async def _read_store(self) -> None:
        with contextlib.suppress(StoreError):  # those that are known are served meanwhile
            found = await self.registry.records.read(self._version)
            if not found.version and self._stored:  # mods still call, and Takaro still knows the servers
                if count := await self.registry.records.put_back(self._stored):
                    logger.error(
                        "Redis was emptied: the %d servers that it held are written anew", count, extra=CHANGE
                    )
                return
            if (records := found.records()) is not None:
                self._version, self._stored = found.version, records
            self.complete.set()

    def _report(self, changed: Callable[[Mapping[str, DefinedInstance]], object]) -> None:
        replaced = open_replaced_keys(self._stored.values(), self.registry.records.age_s)
        merged_of = self.file.settings, self._stored, replaced, self.complete.is_set()
        if merged_of == self._merged_of:
            return  # merging 1,000 instances holds the loop for 10 ms and more
        self._merged_of = merged_of
        before = self.defined
        self.defined = self._merged(self._stored)
        if self.defined != before:
            hide("instances", secrets_in(*(definition.instance for definition in self.defined.values())))
        for slug, definition in self.defined.items():
            if definition.note and (slug not in before or before[slug].note != definition.note):
                InstanceLogger(__name__, slug).warning("%s", definition.note)
        served = active(self.defined)
        if self.complete.is_set() and bool(self.defined) == self._warned_of_none:
            self._warned_of_none = not self.defined
            if self._warned_of_none:
                logger.warning("%s", NO_INSTANCE)
        if served == self._reported:
            return
        for caution in equal_names(definition.instance for definition in served.values()):
            if caution not in self._warned_equal_names:
                self._warned_equal_names.add(caution)
                logger.warning("%s", caution)
        if self._reported is not None:
            _log_changes(self._reported, served)
        self._reported = served
        collect_garbage_for(len(served))
        changed(served)

    def _merged(self, stored: Mapping[str, Record]) -> dict[str, DefinedInstance]:
        settings = self.file.settings
        token = settings.takaro.registration_token
        return merge(settings.instances, stored, self.registry.records.age_s, token)


def instances(served: Mapping[str, DefinedInstance]) -> dict[str, Instance]:
    """The served instances as uplink needs them: modapi's settings are blanked, so their changes restart no
    link."""
    blank = {"mod_keys": (), "log": "on", "log_per_s": None}
    return {slug: definition.instance.model_copy(update=blank) for slug, definition in served.items()}


def _log_changes(before: Mapping[str, DefinedInstance], now: Mapping[str, DefinedInstance]) -> None:
    for slug in now.keys() - before.keys():
        InstanceLogger(__name__, slug).info("served from now on (defined in %s)", now[slug].origin.words)
    for slug in before.keys() - now.keys():
        InstanceLogger(__name__, slug).info("not served any more")
    for slug in now.keys() & before.keys():
        if now[slug] != before[slug]:
            InstanceLogger(__name__, slug).info("changed (defined in %s)", now[slug].origin.words)
