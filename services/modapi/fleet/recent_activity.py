"""The last events and commands: of each server that somebody looks at, and of all while somebody follows."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from functools import partial

from services.modapi.fleet.journal import Journal
from services.modapi.fleet.watched_activity import WatchedActivity, bytes_of
from services.relay.instances.accepted import accepted, settled_ms, undelivered
from services.relay.instances.activity import ActivityEntry, Cursor, in_order
from services.relay.instances.facts import Facts, facts_of
from services.relay.protocol.errors import StoreError
from services.relay.service.faults import FaultKind, OwnFaults
from services.relay.service.lifecycle import cancelled
from services.relay.service.logs import InstanceLogger
from services.relay.store.client import Store

CLEAR_UP_EVERY_S = 5.0
KEPT_S = 15.0  # how long the activity of a server is watched after the last reader has looked

MOST_WATCHED = 100  # number of servers whose activity is watched at once

KNOWN_WITHIN_S = 2.0
"""An owner sees a new watcher with the next renewal of its lease, and publishes what it remembers."""

FLEET_ENTRIES, FLEET_BYTES = 5_000, 4 * 1024 * 1024
FLEET_KEPT_S = 60.0
"""How long all servers are followed after the last reader: one whose connection broke comes back in time."""

FLEET_CHECK_EVERY_S = 1.0  # time between two checks for servers that were added or removed

logger = logging.getLogger(__name__)


class RecentActivity:
    """Watches the servers that somebody looks at. `run` has to run beside it."""

    def __init__(self, store: Store, faults: OwnFaults) -> None:
        self.store = store
        self.faults = faults
        self._watched: dict[str, WatchedActivity] = {}
        self._closed = False

    async def run(self) -> None:
        """Stops watching servers that nobody looks at any more. Never returns."""
        try:
            await self.faults.keep_running(logger, self._clear_up)
        finally:
            self._closed = True
            for watched in list(self._watched.values()):
                await watched.close()

    async def _clear_up(self) -> None:
        while True:
            await asyncio.sleep(CLEAR_UP_EVERY_S)
            left_s = time.monotonic() - KEPT_S
            for slug in [slug for slug, watched in self._watched.items() if watched.used_s < left_s]:
                await self._watched.pop(slug).close()

    async def now(self, slug: str, facts: Facts, settled_ms: int = 0) -> list[ActivityEntry]:
        """The last events and commands that have ended, as far as they are known by now, and the events that
        wait (`accepted`) or are dead letters. The first reader gets those that have ended a second later.

        Raises StoreError.
        """
        waits = await accepted(self.store, slug, facts, settled_ms)
        watched = self._watching(slug)
        ended = watched.entries[::-1] if watched else []  # a window has one time: its newest event first
        return [*ended, *undelivered(waits, ended)]

    async def known(self, slug: str, facts: Facts) -> list[ActivityEntry] | None:
        """The same, but waits for what the owner remembers if nobody has looked before. None: too many
        servers are watched. Raises StoreError."""
        if self._watching(slug) is None:
            return None
        await self._remembered(slug, facts)
        return await self.now(slug, facts)

    async def _remembered(self, slug: str, facts: Facts) -> None:
        if facts.uplink and (watched := self._watching(slug)):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(watched.begun_s + KNOWN_WITHIN_S):
                    await watched.has_entries.wait()

    async def follow(
        self, slug: str, facts: Facts, *, goes_on: bool = False
    ) -> AsyncIterator[list[ActivityEntry]] | None:
        """All that is known, the oldest first, then what comes. None: too many servers are watched.

        Something may be in both. A reader who `goes_on` gets all that the journal still has. Raises
        StoreError.
        """
        watched = self._watching(slug)
        if watched is None:
            return None
        watched.follow()
        number = watched.journal.number
        earlier = watched.journal.items if goes_on else ()
        await self._remembered(slug, facts)
        # The younger ones come by the journal, once they have settled: most are delivered before.
        facts = await facts_of(self.store, slug)
        now = await self.now(slug, facts, settled_ms(facts))
        found = {entry.id: entry for entry in (*earlier, *now)}
        return watched.read(in_order(found.values()), number)

    def _watching(self, slug: str) -> WatchedActivity | None:
        watched = self._watched.get(slug)
        if watched is None:
            if len(self._watched) >= MOST_WATCHED or self._closed:
                return None
            watched = self._watched[slug] = WatchedActivity(self.store, slug, self.faults)
        watched.used_s = time.monotonic()
        return watched


class FleetActivity:
    """The events and commands of all servers that are served in one journal. `slugs` gives those servers."""

    def __init__(self, recent: RecentActivity, slugs: Callable[[], set[str]]) -> None:
        self.journal: Journal[tuple[str, ActivityEntry]] = Journal(
            FLEET_ENTRIES, FLEET_BYTES, lambda one: bytes_of(one[1])
        )
        self._recent = recent
        self._slugs = slugs
        self._used_s = 0.0
        self._running: asyncio.Task[None] | None = None

    def use(self) -> bool:
        """Goes on for FLEET_KEPT_S more. False: there are more servers than can be watched."""
        if len(self._slugs()) > MOST_WATCHED:
            return False
        self._used_s = time.monotonic()
        if (self._running is None or self._running.done()) and not self.journal.is_closed:
            self._running = asyncio.create_task(self._recent.faults.keep_running(logger, self._run))
        return True

    async def close(self) -> None:
        self.journal.close()
        if self._running:
            await cancelled(self._running)

    async def _run(self) -> None:
        following: dict[str, asyncio.Task[None]] = {}
        try:
            while time.monotonic() - self._used_s < FLEET_KEPT_S:
                slugs = self._slugs()
                for slug in following.keys() - slugs:
                    await cancelled(following.pop(slug))
                for slug in slugs - following.keys():
                    following[slug] = asyncio.create_task(self._follow(slug))
                await asyncio.sleep(FLEET_CHECK_EVERY_S)
        finally:
            for task in following.values():
                await cancelled(task)
            self.journal.forget()

    async def _follow(self, slug: str) -> None:
        """Copies the journal of one server. Begins again if that one has ended."""
        cursor, recent = Cursor(), self._recent
        contain = partial(recent.faults.contain, InstanceLogger(__name__, slug), FaultKind.LOOP)
        while True:
            with contain(), contextlib.suppress(StoreError):
                if followed := await recent.follow(slug, await facts_of(recent.store, slug)):
                    async for entries in followed:
                        self.journal.add(*((slug, entry) for entry in cursor.new(entries)))
            await asyncio.sleep(FLEET_CHECK_EVERY_S)
