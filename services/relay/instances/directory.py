"""Which instances there are now: relay.toml and Redis, followed while the service runs.

A file that is wrong changes nothing, nor does a Redis that is away: the last known instances stay.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from services.relay.instances.entries import ServedEntry, active, merge
from services.relay.instances.records import Record, open_replaced_keys
from services.relay.instances.registry import Registry
from services.relay.protocol.errors import ConfigError, StoreError
from services.relay.protocol.keys import WAKE_INSTANCES
from services.relay.service.logs import CHANGE, InstanceLogger, hide
from services.relay.service.redaction import secrets_in
from services.relay.service.settings import NO_INSTANCE, Instance, Loaded, Settings, load
from services.relay.service.settings_warnings import equal_names
from services.relay.store.client import Store, steadily

LOOK_EVERY_S = 1.0
SETTLED_AFTER_S = 0.15
"""Editors empty a file before they write it. What is read must have stood still for so long."""


Signature = tuple[int, int, int]

logger = logging.getLogger(__name__)


class Directory:
    """The instances of this relay. `config` is None where the environment alone holds the settings.

    `reload_failed` is called with 1 when relay.toml cannot be used, with 0 when it is good again.
    """

    def __init__(
        self,
        settings: Settings,
        config: Path | None,
        environ: Mapping[str, str],
        store: Store,
        reload_failed: Callable[[float], object],
    ) -> None:
        self.registry = Registry(store, lambda: self._settings.instances)
        self.entries: dict[str, ServedEntry] = {}
        self.complete = asyncio.Event()
        """Set once the stored instances are known too."""
        self.waits_for_restart: list[str] = []
        """The settings of relay.toml that differ from those that this service runs with."""
        self.complaint = ""
        """Why relay.toml, as it stands, cannot be used, "" if it can."""
        self._running = settings  # what cannot change without a restart
        self._settings = settings
        self._config = config
        self._environ = environ
        self._store = store
        self._reload_failed = reload_failed
        self._signature = self._sign()
        self._reread = False
        self._version: str | None = None
        self._stored: dict[str, Record] = {}
        self._merged_of: tuple[Settings, dict[str, Record], tuple[str, ...], bool] | None = None
        self._told: dict[str, ServedEntry] | None = None
        self._said_none = False
        self._equal_names_told = set(equal_names(settings.instances))  # at the start, with all cautions
        self._file_nudge, self._store_nudge = asyncio.Event(), asyncio.Event()

    async def watch(self, changed: Callable[[Mapping[str, ServedEntry]], object]) -> None:
        """Calls `changed` with the served instances, now and after each change. Never returns."""
        hangup = getattr(signal, "SIGHUP", None)  # Windows has none
        if hangup:
            asyncio.get_running_loop().add_signal_handler(hangup, self.reread)
        self._tell(changed)
        # Side by side: a Redis that is away must not hold up an edit of the file.
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._follow(self._look_at_file, self._file_nudge, changed))
            group.create_task(self._follow(self._look_at_store, self._store_nudge, changed))

    async def current(self) -> dict[str, ServedEntry]:
        """All instances, as they are stored at this moment. Raises StoreError."""
        found = await self.registry.look()
        assert found.records is not None
        return self._merged(found.records)

    def about(self) -> dict[str, str | list[str]]:
        """What `/readyz` tells of the settings."""
        return {"restart_needed_for": self.waits_for_restart, "settings_refused": self.complaint}

    def reread(self) -> None:
        """Reads relay.toml again though it looks the same: a file that it names may have changed."""
        self._reread = True
        self._file_nudge.set()

    async def _follow(
        self,
        look: Callable[[], Awaitable[None]],
        nudge: asyncio.Event,
        changed: Callable[[Mapping[str, ServedEntry]], object],
    ) -> None:
        while True:
            nudge.clear()
            await look()
            self._tell(changed)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await nudge.wait()

    async def _listen(self) -> None:
        async for _ in steadily(lambda: self._store.hints(WAKE_INSTANCES)):
            self._store_nudge.set()

    async def _look_at_file(self) -> None:
        signature = self._sign()
        if self._config is None or (signature == self._signature and not self._reread):
            return
        await asyncio.sleep(SETTLED_AFTER_S)
        if self._sign() != signature:
            self._file_nudge.set()
            return
        self._reread, self._signature = False, signature
        try:
            loaded = load(self._config, self._environ)
        except ConfigError as error:
            self._reload_failed(1)
            text = "; ".join(str(error).splitlines())
            logger.error("%s. The settings from before stay in force.", text, extra=CHANGE)
            self.complaint = text
        else:
            self._reload_failed(0)
            self._take(loaded)

    def _take(self, loaded: Loaded) -> None:
        for warning in loaded.warnings:
            logger.warning("%s", warning, extra=CHANGE)
        self.complaint = ""
        self.waits_for_restart = keys = restart_keys(self._running, loaded.settings)
        if any(key.startswith("[takaro]") for key in keys):
            # A token must not be shown to the Takaro that was there before.
            logger.warning(
                "%s, %s: takes effect when the relay is started again, and so does all else that was changed",
                self._config,
                keys[0],
                extra=CHANGE,
            )
            return
        for key in keys:
            logger.warning("%s, %s: takes effect after a restart", self._config, key, extra=CHANGE)
        logger.info("%s was read again", self._config)
        self._settings = loaded.settings

    async def _look_at_store(self) -> None:
        try:
            found = await self.registry.look(self._version)
        except StoreError:
            return
        if not found.version and self._stored:
            await self._put_back()
            return
        if found.records is not None:
            self._version, self._stored = found.version, found.records
        self.complete.set()

    async def _put_back(self) -> None:
        """Redis was emptied. Who calls and what Takaro knows goes on: the servers are written anew."""
        try:
            count = await self.registry.put_back(self._stored)
        except StoreError:
            return  # they are served meanwhile; it is tried again unless all of them are there after all
        if count:
            logger.error(
                "Redis was emptied: the %d servers that it held are written anew", count, extra=CHANGE
            )

    def _tell(self, changed: Callable[[Mapping[str, ServedEntry]], object]) -> None:
        replaced = open_replaced_keys(self._stored.values(), self.registry.age_s)
        merged_of = self._settings, self._stored, replaced, self.complete.is_set()
        if merged_of == self._merged_of:
            return  # to merge a thousand takes the loop 10 ms and more
        self._merged_of = merged_of
        before = self.entries
        self.entries = self._merged(self._stored)
        if self.entries != before:
            hide("instances", secrets_in(*(entry.instance for entry in self.entries.values())))
        for slug, entry in self.entries.items():
            if entry.note and (slug not in before or before[slug].note != entry.note):
                InstanceLogger(logger, slug).warning("%s", entry.note)
        served = active(self.entries)
        if self.complete.is_set() and bool(self.entries) == self._said_none:
            self._said_none = not self.entries
            if self._said_none:
                logger.warning("%s", NO_INSTANCE)
        if served == self._told:
            return
        for caution in equal_names(entry.instance for entry in served.values()):
            if caution not in self._equal_names_told:
                self._equal_names_told.add(caution)
                logger.warning("%s", caution)
        if self._told is not None:
            _say(self._told, served)
        self._told = served
        changed(served)

    def _merged(self, stored: Mapping[str, Record]) -> dict[str, ServedEntry]:
        return merge(
            self._settings.instances, stored, self.registry.age_s, self._settings.takaro.registration_token
        )

    def _sign(self) -> Signature | None:
        try:
            found = os.stat(self._config) if self._config else None
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size, found.st_ino) if found else None


def instances(served: Mapping[str, ServedEntry]) -> dict[str, Instance]:
    """What uplink needs of the served ones. What is for modapi alone changes nothing here."""
    ours = {"mod_keys": (), "log": "on", "log_per_s": None}
    return {slug: entry.instance.model_copy(update=ours) for slug, entry in served.items()}


def restart_keys(running: Settings, read: Settings) -> list[str]:
    """The settings that differ and are not taken up while a service runs, as "[modapi] port"."""
    return [
        f"[{section}] {key}"
        for section in Settings.model_fields
        if section != "instances"
        for key in type(getattr(running, section)).model_fields
        if (section, key) != ("takaro", "registration_token")
        and getattr(getattr(running, section), key) != getattr(getattr(read, section), key)
    ]


def _say(before: Mapping[str, ServedEntry], now: Mapping[str, ServedEntry]) -> None:
    for slug in now.keys() - before.keys():
        InstanceLogger(logger, slug).info("served from now on (defined in %s)", _where(now[slug]))
    for slug in before.keys() - now.keys():
        InstanceLogger(logger, slug).info("not served any more")
    for slug in now.keys() & before.keys():
        if now[slug] != before[slug]:
            InstanceLogger(logger, slug).info("changed (defined in %s)", _where(now[slug]))


def _where(entry: ServedEntry) -> str:
    return "relay.toml" if entry.origin.value == "file" else "Redis"
