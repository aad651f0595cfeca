"""What the page reads and keeps fresh: the fleet once a second for all readers, the activity of each server
that is looked at, and for each reader the changes as server-sent events.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import orjson
from markupsafe import Markup

from services.modapi.fleet.rows import ServerRow
from services.modapi.fleet.view import FRESH_S, FleetView
from services.modapi.page import fleet, server
from services.modapi.page.day_bars import DayBars
from services.modapi.page.rendering import Fragments, render
from services.modapi.page.view import View, choose
from services.relay.instances.dead_letters import DeadLetters
from services.relay.instances.half_hours import read_half_hours
from services.relay.instances.minutes import read_minutes
from services.relay.instances.players import online_players
from services.relay.protocol.errors import StoreError
from services.relay.service.faults import FaultKind, OwnFaults
from services.relay.store.client import Store

ALIVE_EVERY_S = 5.0
"""Longest silence of a stream: page.js takes what it shows for old after QUIET_MS."""

CHARTS_EVERY = 15
DEAD_LETTERS_EVERY = 2
PLAYERS_EVERY = 3
"""Charts, dead letters and players are read with each such number of looks."""

_ALIVE = b"event: alive\ndata:\n\n"
_AWAY = b"event: away\ndata:\n\n"
_COMMENT = b":\n\n"

logger = logging.getLogger(__name__)


class LivePages:
    """What the pages of all readers show, and the streams that keep them fresh."""

    def __init__(self, fleet_view: FleetView, store: Store, faults: OwnFaults) -> None:
        self.fleet_view = fleet_view
        self._faults = faults
        self.streams = 0
        self._store = store
        self._day_bars = DayBars(store)
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Watches the servers that somebody looks at. Never returns; cancelled, it ends all streams."""
        try:
            await self.fleet_view.run()
        finally:
            self._stopping.set()

    def notes(self) -> Markup:
        """What concerns the relay as a whole: how relay.toml differs from the settings in force, and what may
        concern any of the servers."""
        directory = self.fleet_view.directory
        return render(
            "notes",
            complaint=directory.file.complaint,
            waits_for_restart=directory.file.waits_for_restart,
            problems=self.fleet_view.notes,
        )

    async def fleet(self, view: View) -> tuple[list[ServerRow], Fragments]:
        """All servers, and the parts of their page. Raises StoreError."""
        rows = list((await self.fleet_view.rows()).values())
        shown = choose(rows, view)
        days = await self._day_bars.of(shown.rows)
        return rows, {"notes": self.notes(), **fleet.fragments(rows, view, shown, days)}

    async def server(self, row: ServerRow, form_key: str, before: str, turn: int = 0) -> Fragments:
        """The parts of the page of one server, at the `turn` of a stream all that are due. Raises
        StoreError."""
        entries = await self.fleet_view.recent.now(row.slug, row.facts)
        found = {"notes": self.notes(), "facts": render("server_facts", row=row), **server.activity(entries)}
        if turn % DEAD_LETTERS_EVERY == 0:
            letters = await DeadLetters(self._store, row.slug).newest(server.DEAD_LETTERS, before)
            found["dead"] = server.dead_letters(row.slug, letters, form_key, older=bool(before))
        if turn % PLAYERS_EVERY == 0:
            found["players"] = render("server_players", online=await online_players(self._store, row.slug))
        in_setup = server.is_in_setup(row)
        found["checklist"] = Markup()
        if turn % CHARTS_EVERY == 0 or in_setup:
            half_hours = await read_half_hours(self._store, row.slug, row.facts.now_ms, row.there_ms)
            found["day"] = render("chart_day", half_hours=half_hours)
            minutes = await read_minutes(self._store, row.slug, row.facts.now_ms)
            found["hour"] = render("charts_hour", minutes=minutes)
            if in_setup:
                found["checklist"] = server.checklist(row, minutes)
        return found

    def fleet_changes(self, view: View, until_s: float) -> AsyncIterator[bytes]:
        """The changes of the page of all servers, until `until_s` on the wall clock."""

        async def look(_: int) -> Fragments:
            return (await self.fleet(view))[1]

        return self._changes(look, until_s)

    def server_changes(self, slug: str, form_key: str, before: str, until_s: float) -> AsyncIterator[bytes]:
        """The changes of the page of one server."""

        async def look(turn: int) -> Fragments:
            row = (await self.fleet_view.rows()).get(slug)
            return await self.server(row, form_key, before, turn) if row else {}

        return self._changes(look, until_s)

    async def _changes(
        self, look: Callable[[int], Awaitable[Fragments]], until_s: float
    ) -> AsyncIterator[bytes]:
        sent: Fragments = {}
        turn, sent_s = 0, -math.inf
        self.streams += 1
        try:
            while not self._stopping.is_set() and time.time() < until_s:
                alive = _ALIVE
                try:
                    changes = _changed(await look(turn), sent)
                except StoreError:
                    changes = _AWAY
                except Exception as error:  # the next look may go well again, and other pages go on
                    self._faults.caught(logger, FaultKind.LISTENER, error)
                    changes, alive = b"", _COMMENT  # keeps the connection, but does not say that all is well
                if not changes and time.monotonic() - sent_s > ALIVE_EVERY_S:
                    changes = alive
                if changes:
                    sent_s = time.monotonic()
                    yield changes
                turn += 1
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(FRESH_S):
                        await self._stopping.wait()
        finally:
            self.streams -= 1


def _changed(found: Mapping[str, Markup], sent: Fragments) -> bytes:
    """The fragments that differ from those that were sent, as events; `sent` is brought up to date."""
    changes = b""
    for id, text in found.items():
        if sent.get(id) != text:
            sent[id] = text
            changes += b"event: fragment\ndata: %b\n\n" % orjson.dumps({"id": id, "html": str(text)})
    return changes
