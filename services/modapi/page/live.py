"""What the page reads and keeps fresh: one look at the fleet a second for all readers, one ear for each
instance that is looked at, and the news for each reader as server-sent events.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import orjson

from services.modapi.page import fleet, instance, layout
from services.modapi.page.chart import charts
from services.modapi.page.dead_letters import LETTERS, dead
from services.modapi.page.markup import Html
from services.modapi.page.view import PageRow, View
from services.modapi.page.words import level
from services.relay.instances.accepted import accepted
from services.relay.instances.activity import REMEMBERED, ActivityEntry, watch
from services.relay.instances.dead_letters import DeadLetters
from services.relay.instances.diagnosis import Problem, diagnose, wrong_keys
from services.relay.instances.directory import Directory
from services.relay.instances.entries import ServedEntry
from services.relay.instances.facts import Facts, facts_of_all
from services.relay.instances.minutes import read_minutes
from services.relay.instances.mod_config import mod_url
from services.relay.instances.state import InstanceState
from services.relay.instances.unknown_keys import UnknownKeyCall, UnknownKeyCalls
from services.relay.protocol.errors import StoreError
from services.relay.service.faults import FaultKind, OwnFaults
from services.relay.service.lifecycle import cancelled
from services.relay.service.logs import InstanceLogger
from services.relay.service.settings import ModApi
from services.relay.store.client import Store

FRESH_S = 1.0
AT_ONCE = 50
"""So many instances are read in one go: the answers of 1,000 would hold up the loop for 50 ms."""

SAID_WITHIN_S = 5.0
"""How often a stream says at least that it lives: page.js takes what it shows for old after QUIET_MS."""

_ALIVE = b"event: alive\ndata:\n\n"
_COMMENT = b":\n\n"

CLEAR_UP_EVERY_S = 5.0
KEPT_S = 15.0
MOST_ROOMS = 100

CHART_EVERY = 15
LETTERS_EVERY = 2

logger = logging.getLogger(__name__)

News = AsyncIterator[bytes]
Fragments = dict[str, Html]


class Board:
    """All instances with what is known of them now."""

    def __init__(self, directory: Directory, store: Store, modapi: ModApi, faults: OwnFaults) -> None:
        self._faults = faults
        self._directory = directory
        self._store = store
        self._unknown_calls = UnknownKeyCalls(store)
        self._modapi = modapi
        self._rows: dict[str, PageRow] = {}
        self._read_s = -math.inf
        self._reading = asyncio.Lock()
        self._fleet: list[Problem] = []

    async def rows(self) -> dict[str, PageRow]:
        """By slug, not older than FRESH_S. Raises StoreError."""
        async with self._reading:
            if time.monotonic() - self._read_s >= FRESH_S:
                self._rows = await self._read()
                self._read_s = time.monotonic()
            return self._rows

    def notes(self) -> Html:
        """What concerns the relay as a whole."""
        return layout.notes(self._directory.waits_for_restart, self._directory.complaint, self._fleet)

    async def _read(self) -> dict[str, PageRow]:
        entries = dict(self._directory.entries)
        slugs = list(entries)
        unknown_calls = await self._unknown_calls.all()
        facts: dict[str, Facts] = {}
        for start in range(0, len(slugs), AT_ONCE):
            facts |= await facts_of_all(self._store, slugs[start : start + AT_ONCE])
        named, self._fleet = wrong_keys(entries, facts, unknown_calls)
        rows: dict[str, PageRow] = {}
        for count, slug in enumerate(slugs, 1):
            with self._faults.kept(InstanceLogger(logger, slug), FaultKind.LISTENER):
                rows[slug] = self._row(entries[slug], facts[slug], named.get(slug))
            if count % AT_ONCE == 0:
                await asyncio.sleep(0)
        return rows

    def _row(self, entry: ServedEntry, facts: Facts, unknown_call: UnknownKeyCall | None) -> PageRow:
        problems = diagnose(entry, facts, mod_url(self._modapi), unknown_call)
        return PageRow(entry, facts, problems, level(entry.disabled, problems))


class LiveRoom:
    """What passed one instance since somebody looks at it. Reads are left out: nobody could follow them."""

    def __init__(self, store: Store, slug: str, faults: OwnFaults) -> None:
        self.used_s = time.monotonic()
        self._events: deque[ActivityEntry] = deque(maxlen=REMEMBERED)
        self._commands: deque[ActivityEntry] = deque(maxlen=REMEMBERED)
        self._state = InstanceState(store, slug)
        self._listening = asyncio.create_task(
            faults.kept_going(InstanceLogger(logger, slug), lambda: self._listen(store, slug))
        )

    @property
    def passed(self) -> list[ActivityEntry]:
        return [*self._events, *self._commands]

    async def _listen(self, store: Store, slug: str) -> None:
        async for told in watch(store, slug):
            for one in told:
                if one.kind == "event":
                    self._events.append(one)
                elif instance.is_write(one.what):
                    self._commands.append(await self._named(one))

    async def _named(self, command: ActivityEntry) -> ActivityEntry:
        """Whom it is about has a name, if that one was ever seen."""
        game_id = command.data.get("gameId") or command.data.get("recipient")
        with contextlib.suppress(StoreError):
            if game_id and (player := await self._state.player(game_id)):
                return command._replace(data={"player": player.get("name"), **command.data})
        return command

    async def close(self) -> None:
        await cancelled(self._listening)


class Live:
    """The readers of the page."""

    def __init__(self, directory: Directory, store: Store, modapi: ModApi, faults: OwnFaults) -> None:
        self.board = Board(directory, store, modapi, faults)
        self._faults = faults
        self.streams = 0
        self._store = store
        self._rooms: dict[str, LiveRoom] = {}
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Closes rooms that nobody looks into. Never returns; when it is cancelled all streams end."""
        try:
            await self._faults.kept_going(logger, self._clear_up)
        finally:
            self._stopping.set()
            for room in list(self._rooms.values()):
                await room.close()

    async def _clear_up(self) -> None:
        while True:
            await asyncio.sleep(CLEAR_UP_EVERY_S)
            left_s = time.monotonic() - KEPT_S
            for slug in [slug for slug, room in self._rooms.items() if room.used_s < left_s]:
                await self._rooms.pop(slug).close()

    def passed(self, slug: str) -> list[ActivityEntry]:
        """What passed the instance lately, as far as it is known: the first who asks has it a second on."""
        room = self._rooms.get(slug)
        if room is None:
            if len(self._rooms) >= MOST_ROOMS or self._stopping.is_set():
                return []
            room = self._rooms[slug] = LiveRoom(self._store, slug, self._faults)
        room.used_s = time.monotonic()
        return room.passed

    async def events(self, row: PageRow) -> list[ActivityEntry]:
        """What passed lately, and what was accepted and has not passed. Raises StoreError."""
        return [*self.passed(row.slug), *await accepted(self._store, row.slug, row.facts)]

    async def letters(self, slug: str, form_key: str, before: str) -> Html:
        """Dead letters. Raises StoreError."""
        found = await DeadLetters(self._store, slug).newest(LETTERS, before)
        return dead(slug, found, form_key, older=bool(before))

    def fleet_news(self, view: View, until_s: float) -> News:
        """What changes in the table of all instances, until `until_s` on the wall clock."""

        async def look(_: int) -> Fragments:
            rows = list((await self.board.rows()).values())
            return {
                "title": layout.title(fleet.title(rows)),
                "notes": self.board.notes(),
                "summary": fleet.summary(rows),
                "table": fleet.table(rows, view),
            }

        return self._news(look, until_s)

    def instance_news(self, slug: str, form_key: str, before: str, until_s: float) -> News:
        """What changes on the page of one instance."""

        async def look(turn: int) -> Fragments:
            row = (await self.board.rows()).get(slug)
            if row is None:
                return {}
            passed = await self.events(row)
            found = {
                "notes": self.board.notes(),
                "facts": instance.facts(row),
                "events": instance.events(passed),
                "commands": instance.commands(passed),
            }
            if turn % LETTERS_EVERY == 0:
                found["dead"] = await self.letters(slug, form_key, before)
            if turn % CHART_EVERY == 0:
                found["hour"] = charts(await read_minutes(self._store, slug, row.facts.now_ms))
            return found

        return self._news(look, until_s)

    async def _news(self, look: Callable[[int], Awaitable[Fragments]], until_s: float) -> News:
        told: Fragments = {}
        turn, said_s = 0, -math.inf
        self.streams += 1
        try:
            while not self._stopping.is_set() and time.time() < until_s:
                alive = _ALIVE
                try:
                    news = _changed(await look(turn), told)
                except StoreError:
                    news = b"event: away\ndata:\n\n"
                except Exception as error:  # the next look may go well again, and other pages go on
                    self._faults.caught(logger, FaultKind.LISTENER, error)
                    news, alive = b"", _COMMENT  # the connection is kept, but nobody can say that all is well
                if not news and time.monotonic() - said_s > SAID_WITHIN_S:
                    news = alive
                if news:
                    said_s = time.monotonic()
                    yield news
                turn += 1
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(FRESH_S):
                        await self._stopping.wait()
        finally:
            self.streams -= 1


def _changed(found: Mapping[str, Html], told: Fragments) -> bytes:
    """The fragments that are not as they were told, as events; `told` is brought up to date."""
    news = b""
    for name, text in found.items():
        if told.get(name) != text:
            told[name] = text
            news += b"event: fragment\ndata: %b\n\n" % orjson.dumps({"id": name, "html": str(text)})
    return news
