"""All servers with what is known of them, read from Redis at most once a second for all readers."""

import asyncio
import math
import time
from collections.abc import Mapping
from typing import NamedTuple

from services.modapi.fleet.recent_activity import FleetActivity, RecentActivity
from services.modapi.fleet.rows import FleetChanges, ServerRow, state_of
from services.relay.instances.definitions import DefinedInstance, active
from services.relay.instances.diagnosis import Problem, diagnose, wrong_keys
from services.relay.instances.directory import Directory
from services.relay.instances.facts import Facts, facts_of, facts_of_all
from services.relay.instances.mod_config import mod_url
from services.relay.instances.wrong_keys import WrongKeyCall, WrongKeyCalls
from services.relay.protocol.errors import NoSuchInstance, StoreError
from services.relay.service.faults import FaultKind, OwnFaults
from services.relay.service.logs import InstanceLogger
from services.relay.service.settings import ModApi
from services.relay.store.client import Store

FRESH_S = 1.0
READ_AT_ONCE = 50
"""Number of servers that are read in one go: the answers of 1,000 would hold up the loop for 50 ms."""


class FleetFacts(NamedTuple):
    """All servers by slug, what may concern any of them, and whose mods seem to call with a wrong key."""

    rows: dict[str, ServerRow]
    notes: list[Problem]
    wrong_keys: Mapping[str, WrongKeyCall]


class FleetView:
    """All servers, with what is known of them now. 14 fields: its parts, and what it read last."""

    def __init__(self, directory: Directory, store: Store, modapi: ModApi, faults: OwnFaults) -> None:
        self._faults = faults
        self.directory = directory
        self.recent = RecentActivity(store, faults)
        self.activity = FleetActivity(self.recent, lambda: set(active(directory.defined)))
        self.changes = FleetChanges()
        self._store = store
        self._wrong_calls = WrongKeyCalls(store)
        self._modapi = modapi
        self.last = FleetFacts({}, [], {})  # what the last `rows` has read
        self._read_s = -math.inf
        self._read_of: Mapping[str, DefinedInstance] = {}
        self._failed = (-math.inf, "")  # when the last read that failed did so, and why
        self._reading = asyncio.Lock()
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        """Watches the servers that somebody looks at. Never returns; cancelled, it ends all streams."""
        try:
            await self.recent.run()
        finally:
            self.stopping.set()
            await self.activity.close()

    async def rows(self) -> dict[str, ServerRow]:
        """All servers by slug, not older than FRESH_S or the last known change. Raises StoreError."""
        asked_s = time.monotonic()
        async with self._reading:
            failed_s, why = self._failed
            if failed_s >= asked_s:  # while this reader waited: its own read would fail 2 s later
                raise StoreError(why)
            try:
                await self._renew()
            except StoreError as error:
                self._failed = time.monotonic(), str(error)
                raise
            return self.last.rows

    async def _renew(self) -> None:
        defined = self.directory.defined
        if not self.directory.complete.is_set():  # those in Redis are missing
            defined = await self.directory.current()
        if defined is not self._read_of or time.monotonic() - self._read_s >= FRESH_S:
            self.last = await self._read(defined)
            self._read_of, self._read_s = defined, time.monotonic()

    async def find_changes(self) -> None:
        """Numbers what has changed. Raises StoreError."""
        self.changes.update(await self.rows(), self._read_of)

    async def row(self, slug: str, defined: Mapping[str, DefinedInstance] | None = None) -> ServerRow:
        """One server as it is now. `defined`: all servers, if they were just read.

        Raises NoSuchInstance, StoreError.
        """
        if defined is None:
            defined = await self.directory.current()
        if slug not in defined:
            raise NoSuchInstance(f"there is no server {slug}")
        facts = await facts_of(self._store, slug)
        if facts.is_silent:
            await self.rows()  # only all servers together tell whose mod calls with a wrong key
        return self._row(defined[slug], facts, self.last.wrong_keys.get(slug))

    async def _read(self, defined: Mapping[str, DefinedInstance]) -> FleetFacts:
        slugs = list(defined)
        wrong_calls = await self._wrong_calls.all()
        facts: dict[str, Facts] = {}
        for start in range(0, len(slugs), READ_AT_ONCE):
            facts |= await facts_of_all(self._store, slugs[start : start + READ_AT_ONCE])
        named, notes = wrong_keys(defined, facts, wrong_calls)
        rows: dict[str, ServerRow] = {}
        for count, slug in enumerate(slugs, 1):
            with self._faults.contain(InstanceLogger(__name__, slug), FaultKind.LISTENER):
                rows[slug] = self._row(defined[slug], facts[slug], named.get(slug))
            if count % READ_AT_ONCE == 0:
                await asyncio.sleep(0)
        return FleetFacts(rows, notes, named)

    def _row(self, definition: DefinedInstance, facts: Facts, wrong_call: WrongKeyCall | None) -> ServerRow:
        problems = diagnose(definition, facts, mod_url(self._modapi), wrong_call)
        return ServerRow(definition, facts, problems, state_of(definition.disabled, problems))
