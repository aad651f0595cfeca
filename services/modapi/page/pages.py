"""The pages that readers see, and the streams of what changes on them, as server-sent events."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import orjson
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from services.modapi.admin.context import AdminContext
from services.modapi.admin.streams import Messages, StreamResponse, Streams
from services.modapi.fleet.rows import ServerRow
from services.modapi.fleet.view import FRESH_S
from services.modapi.page import fleet, rendering, server
from services.modapi.page.access import Reader
from services.modapi.page.figures import DayBar, counted, day_bar
from services.modapi.page.fleet import View, choose
from services.modapi.page.rendering import Fragments, page, render
from services.relay.instances.dead_letters import DeadLetters
from services.relay.instances.facts import online_players
from services.relay.instances.history import read_half_hours, read_minutes
from services.relay.protocol.errors import NoSuchInstance, StoreError
from services.relay.protocol.records import DEAD_LETTER_ID
from services.relay.service.faults import FaultKind

ALIVE_EVERY_S = 5.0  # longest silence of a stream: page.js takes what it shows for old after QUIET_MS

DAY_BARS_FRESH_S = 60.0

CHARTS_EVERY = 15
DEAD_LETTERS_EVERY = 2
PLAYERS_EVERY = 3
"""Charts, dead letters and players are read at every 15th, 2nd and 3rd turn of a stream."""

ReadParts = Callable[[int], Awaitable[Fragments]]  # the parts of a page due at this turn of its stream

_ALIVE = b"event: alive\ndata:\n\n"
_AWAY = b"event: away\ndata:\n\n"

logger = logging.getLogger(__name__)


class Pages:
    """Shows all servers, each server, and the form that adds one. Every call raises StoreError."""

    def __init__(self, context: AdminContext) -> None:
        self._fleet = context.fleet
        self._store = context.store
        self._modapi = context.settings.modapi
        self._faults = context.metrics.service.faults
        self._streams = Streams(None, context.metrics)
        self._day_bars: dict[str, tuple[float, DayBar]] = {}  # by slug, with when it was made

    async def fleet(self, request: Request, reader: Reader) -> Response:
        view = View.of(request.query_params)
        rows, fragments = await self._fleet_parts(view)
        if not rows and not await self._fleet.directory.current():
            return await self.add_form(request, reader, first=True)
        return page(
            "fleet",
            fleet.title(rows),
            fragments,
            reader,
            live=f"/live?{view.query()}" if view.query() else "/live",
            view=view,
            states=fleet.FILTERS,
            notice=server.notice(request.query_params),
            about=self._about(rows),
        )

    async def fleet_changes(self, request: Request, reader: Reader) -> Response:
        view = View.of(request.query_params)

        async def read(_: int) -> Fragments:
            return (await self._fleet_parts(view))[1]

        gzip = "gzip" in request.headers.get("accept-encoding", "")
        return self._stream(request, reader, read, gzip=gzip)

    async def server(
        self, request: Request, reader: Reader, slug: str = "", status: int = 200, **outcome: str
    ) -> Response:
        """The page of one server; after a form with its outcome: `config`, `notice`, `problem`."""
        row = await self._fleet.row(slug or request.path_params["slug"])
        before = _before(request)
        shown = {"config": "", "problem": "", "notice": server.notice(request.query_params), **outcome}
        return page(
            "server",
            row.definition.instance.name,
            await self._server_parts(row, reader.form_key, before),
            reader,
            status,
            live=f"/instance/{row.slug}/live" + (f"?before={before}" if before else ""),
            slug=row.slug,
            row=row,
            modapi=self._modapi,
            retried=server.retried(request.query_params),
            about=self._about((await self._fleet.rows()).values()),
            **shown,
        )

    async def server_changes(self, request: Request, reader: Reader) -> Response:
        slug, before = request.path_params["slug"], _before(request)
        await self._fleet.row(slug)

        async def read(turn: int) -> Fragments:
            row = (await self._fleet.rows()).get(slug) or await self._fleet.row(slug)
            return await self._server_parts(row, reader.form_key, before, turn)

        return self._stream(request, reader, read)

    async def add_form(self, request: Request, reader: Reader, status: int = 200, **values: Any) -> Response:
        """The form that adds a server; after a refusal with its `problem` and the `fields` that were sent."""
        fields = {"name": "", "slug": "", "registration_token": ""}
        shown = {"first": False, "problem": "", "fields": fields, **values}
        return page("add", "Add a server", {"notes": self._notes()}, reader, status, **shown)

    async def _fleet_parts(self, view: View) -> tuple[list[ServerRow], Fragments]:
        """All servers, and the parts of their page."""
        rows = list((await self._fleet.rows()).values())
        shown = choose(rows, view)
        days = await self._days(shown.rows)
        return rows, {"notes": self._notes(), **fleet.fragments(rows, view, shown, days)}

    async def _server_parts(self, row: ServerRow, form_key: str, before: str, turn: int = 0) -> Fragments:
        """The parts of the page of one server; at a later `turn` of a stream those that are due."""
        entries = await self._fleet.recent.now(row.slug, row.facts)
        found = {"notes": self._notes(), "facts": render("server_facts", row=row), **server.activity(entries)}
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

    def _notes(self) -> Markup:
        """What concerns the relay as a whole: how relay.toml differs from the settings in force, and what may
        concern any of the servers."""
        file, problems = self._fleet.directory.file, self._fleet.last.notes
        waits = file.waits_for_restart
        return render("notes", complaint=file.complaint, waits_for_restart=waits, problems=problems)

    def _about(self, rows: Iterable[ServerRow]) -> dict[str, str]:
        """Version, store and uplinks, for the footer."""
        uplinks = counted(len({row.facts.uplink for row in rows} - {""}), "uplink")
        return {"version": rendering.VERSION, "uplinks": uplinks, "store": self._store.facts.summary()}

    async def _days(self, rows: Sequence[ServerRow]) -> dict[str, DayBar]:
        """The bars of these servers by slug. Those of the last minute are kept for all readers."""
        now_s = time.monotonic()
        kept = {slug: one for slug, one in self._day_bars.items() if now_s - one[0] < DAY_BARS_FRESH_S}
        missing = [row for row in rows if row.slug not in kept]
        found = await asyncio.gather(
            *(read_half_hours(self._store, row.slug, row.facts.now_ms, row.there_ms) for row in missing)
        )
        kept |= {row.slug: (now_s, day_bar(one)) for row, one in zip(missing, found, strict=True)}
        self._day_bars = kept
        return {row.slug: kept[row.slug][1] for row in rows}

    def _stream(self, request: Request, reader: Reader, read: ReadParts, *, gzip: bool = False) -> Response:
        if request.method == "HEAD":
            return Response()
        if self._streams.is_full:
            raise HTTPException(503, "Too many pages are open.")
        return StreamResponse(self._streams, request, self._changes(read, reader.until_s), gzip=gzip)

    async def _changes(self, read: ReadParts, until_s: float) -> Messages:
        sent: Fragments = {}
        turn, sent_s = 0, -math.inf
        while not self._fleet.stopping.is_set() and time.time() < until_s:
            changes: list[bytes] = []
            try:
                found = await read(turn)
                changes = [_fragment(id, text) for id, text in found.items() if sent.get(id) != text]
                sent |= found
                if not changes and time.monotonic() - sent_s > ALIVE_EVERY_S:
                    changes = [_ALIVE]
            except StoreError:
                changes = [_AWAY]
            except NoSuchInstance:  # the browser asks again, is refused, and loads the page anew
                return
            except Exception as error:  # the next read may go well, and other pages go on
                self._faults.caught(logger, FaultKind.LISTENER, error)
            if changes:
                sent_s = time.monotonic()
            yield changes
            turn += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FRESH_S):
                    await self._fleet.stopping.wait()


def _fragment(id: str, html: Markup) -> bytes:
    return b"event: fragment\ndata: %b\n\n" % orjson.dumps({"id": id, "html": html})


def _before(request: Request) -> str:
    """The id of the dead letter behind which the list begins; "": it begins with the newest."""
    before = request.query_params.get("before", "")
    return before if DEAD_LETTER_ID.fullmatch(before) else ""
