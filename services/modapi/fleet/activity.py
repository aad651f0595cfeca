"""The events and commands of all servers in one journal, while somebody follows it."""

import asyncio
import logging
import time
from collections.abc import Callable

from services.modapi.fleet.journal import Journal
from services.modapi.fleet.recent_activity import MOST_WATCHED, RecentActivity
from services.modapi.fleet.watched_activity import Followed, bytes_of
from services.relay.instances.activity import ActivityEntry
from services.relay.instances.cursor import Cursor
from services.relay.instances.facts import facts_of
from services.relay.service.faults import OwnFaults
from services.relay.service.lifecycle import cancelled
from services.relay.service.logs import InstanceLogger
from services.relay.store.client import Store, patiently

KEPT_ENTRIES, KEPT_BYTES = 5_000, 4 * 1024 * 1024
KEPT_S = 60.0
"""How long it goes on after the last reader: one whose connection broke comes back within this time."""

LOOK_EVERY_S = 1.0
"""Time between two looks for servers that were added or removed."""

logger = logging.getLogger(__name__)


class FleetActivity:
    """Follows all servers that are served. `slugs` gives them."""

    def __init__(
        self, recent: RecentActivity, store: Store, slugs: Callable[[], set[str]], faults: OwnFaults
    ) -> None:
        self.journal: Journal[tuple[str, ActivityEntry]] = Journal(
            KEPT_ENTRIES, KEPT_BYTES, lambda one: bytes_of(one[1])
        )
        self._recent = recent
        self._store = store
        self._slugs = slugs
        self._faults = faults
        self._used_s = 0.0
        self._running: asyncio.Task[None] | None = None

    def use(self) -> bool:
        """Goes on for KEPT_S more. False: there are more servers than can be watched."""
        if len(self._slugs()) > MOST_WATCHED:
            return False
        self._used_s = time.monotonic()
        if (self._running is None or self._running.done()) and not self.journal.is_closed:
            self._running = asyncio.create_task(self._faults.keep_running(logger, self._run))
        return True

    async def close(self) -> None:
        self.journal.close()
        if self._running:
            await cancelled(self._running)

    async def _run(self) -> None:
        following: dict[str, asyncio.Task[None]] = {}
        try:
            while time.monotonic() - self._used_s < KEPT_S:
                slugs = self._slugs()
                for slug in following.keys() - slugs:
                    await cancelled(following.pop(slug))
                for slug in slugs - following.keys():
                    following[slug] = asyncio.create_task(self._follow(slug))
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            for task in following.values():
                await cancelled(task)
            self.journal.forget()

    async def _follow(self, slug: str) -> None:
        """Copies the journal of one server. Begins again if that one has ended."""
        cursor = Cursor()

        async def copy() -> None:
            while True:
                if followed := await patiently(lambda: self._followed(slug)):
                    async for entries in followed.entries():
                        for entry in cursor.new(entries):
                            self.journal.add((slug, entry))
                await asyncio.sleep(LOOK_EVERY_S)

        await self._faults.keep_running(InstanceLogger(logger, slug), copy)

    async def _followed(self, slug: str) -> Followed | None:
        return await self._recent.follow(slug, await facts_of(self._store, slug))
