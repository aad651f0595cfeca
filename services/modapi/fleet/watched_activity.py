"""The last events and commands of one server that somebody looks at, and what its readers follow."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from functools import partial

import orjson

from services.modapi.fleet.journal import Journal
from services.relay.instances.accepted import follow
from services.relay.instances.activity import REMEMBERED, ActivityEntry, watch
from services.relay.instances.facts import InstanceData
from services.relay.protocol.errors import StoreError
from services.relay.protocol.vocabulary import ACTION_KINDS, ActionKind
from services.relay.service.faults import OwnFaults
from services.relay.service.lifecycle import cancelled
from services.relay.service.logs import InstanceLogger
from services.relay.store.client import Store

TICK_S = 1.0

READ = "read"

_WRITES = {action.value for action, kind in ACTION_KINDS.items() if kind is ActionKind.WRITE}

KEPT_FOR_READERS, KEPT_BYTES = 1_000, 1024 * 1024
"""Number of events and commands by which the reader of a stream may be behind, and their size as JSON."""

SHOWN_BYTES = 256 * 1024
"""Size, as JSON, of the last events that lists show, and of the last commands. The oldest go."""

TURN = 50
TURN_S = 0.01
"""Maximum number of waiting events that are added at once, and the pause in which readers take them."""


class WatchedActivity:
    """Events and commands of one server since somebody looks at it. Only the journal has reads too."""

    def __init__(self, store: Store, slug: str, faults: OwnFaults) -> None:
        self.begun_s = self.used_s = time.monotonic()
        self.has_entries = asyncio.Event()  # the first ones have come
        self._shown = {kind: Journal(REMEMBERED, SHOWN_BYTES, bytes_of) for kind in ("event", "command")}
        self.journal: Journal[ActivityEntry] = Journal(KEPT_FOR_READERS, KEPT_BYTES, bytes_of)
        """For the readers of streams, in the order in which it became known."""
        self._store = store
        self._slug = slug
        self._data = InstanceData(store, slug)
        self._keep_running = partial(faults.keep_running, InstanceLogger(__name__, slug))
        self._watching = asyncio.create_task(self._keep_running(self._watch))
        self._following: asyncio.Task[None] | None = None

    @property
    def entries(self) -> list[ActivityEntry]:
        """The events, then the commands; of each the oldest first."""
        return [entry for journal in self._shown.values() for entry in journal.items]

    def follow(self) -> None:
        """From now on the journal has the events that wait, and the dead letters, too."""
        if self._following is None:
            self._following = asyncio.create_task(self._keep_running(self._follow))

    async def read(self, first: list[ActivityEntry], number: int) -> AsyncIterator[list[ActivityEntry]]:
        """For the reader of a stream: `first`, then the journal behind `number`; an empty list after TICK_S
        without any.

        Ends when modapi stops, and when the reader is too far behind.
        """
        entries: list[ActivityEntry] | None = first
        while entries is not None and not self.journal.is_closed:
            yield entries
            self.used_s = time.monotonic()
            await self.journal.news(number, TICK_S)
            entries, number = self.journal.since(number), self.journal.number

    async def _watch(self) -> None:
        async for entries in watch(self._store, self._slug):
            for entry in entries:
                kind = kind_of(entry)
                if kind == "command":
                    entry = await self._with_player_name(entry)
                if kind in self._shown:
                    self._shown[kind].add(entry)
                self.journal.add(entry)
            if self.entries:
                self.has_entries.set()

    async def _follow(self) -> None:
        # Also what came between a reader's look and the first one here: readers leave out what they know.
        async for entries in follow(self._store, self._slug):
            for count, entry in enumerate(entries, 1):
                self.journal.add(entry)
                if count % TURN == 0:
                    await asyncio.sleep(TURN_S)

    async def _with_player_name(self, command: ActivityEntry) -> ActivityEntry:
        game_id = command.data.get("gameId") or command.data.get("recipient")
        with contextlib.suppress(StoreError):
            if game_id and (player := await self._data.player(game_id)):
                return command._replace(data={"player": player.get("name"), **command.data})
        return command

    async def close(self) -> None:
        self.journal.close()
        await cancelled(self._watching)
        await cancelled(self._following)


def kind_of(entry: ActivityEntry) -> str:
    """The kind of an entry, where commands that change nothing in the game are a kind of their own."""
    return READ if entry.kind == "command" and entry.what not in _WRITES else entry.kind


def bytes_of(entry: ActivityEntry) -> int:
    """The size of what players and mods may make long in an entry."""
    return len(orjson.dumps(entry.data)) + len(entry.detail)
