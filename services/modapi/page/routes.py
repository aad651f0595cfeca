"""The status page as an application: which address shows what."""

import re
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from services.modapi.dead_letter_retry import intake_of, repeat
from services.modapi.metrics import ModapiMetrics
from services.modapi.page import fleet, rendering, server
from services.modapi.page.access import PageAccess, Protected, Reader, form_of, from_own_page, own_path
from services.modapi.page.live import LivePages
from services.modapi.page.view import PageRow, View
from services.modapi.page.words import BADGES
from services.relay.instances.dead_letters import DeadLetters
from services.relay.instances.directory import Directory
from services.relay.protocol.errors import StoreError
from services.relay.protocol.limits import Limits
from services.relay.service.settings import ModApi, Settings
from services.relay.service.settings_values import is_loopback
from services.relay.store.client import Store
from services.relay.store.event_stream import MAX_DEAD_EVENTS

MOST_STREAMS = 200

_ID = re.compile(r"\d{1,15}-\d{1,10}")


def add_page(
    pages: FastAPI, settings: Settings, directory: Directory, store: Store, metrics: ModapiMetrics
) -> LivePages:
    """Adds the page to those of the admin port. What is returned has to run."""
    modapi = settings.modapi
    token = modapi.admin_token.get_secret_value() if modapi.admin_token else None
    live = LivePages(directory, store, modapi, metrics.service.faults)
    access = PageAccess(token, settings.limits, loopback=is_loopback(modapi.admin_host))
    pages.mount("/", StatusPage(live, access, store, metrics, settings.limits, modapi).app())
    return live


class StatusPage:
    """Shows the fleet and each server, and carries out the forms."""

    def __init__(
        self,
        live: LivePages,
        access: PageAccess,
        store: Store,
        metrics: ModapiMetrics,
        limits: Limits,
        modapi: ModApi,
    ) -> None:
        self._live = live
        self._access = access
        self._store = store
        self._metrics = metrics
        self._limits = limits
        self._modapi = modapi

    def app(self) -> Protected:
        for_readers = self._access.for_readers
        routes = [
            Route("/", for_readers(self._fleet)),
            Route("/live", for_readers(self._fleet_changes)),
            Route("/instance/{slug}", for_readers(self._server)),
            Route("/instance/{slug}/live", for_readers(self._server_changes)),
            Route("/instance/{slug}/dead/{id}/{verb}", for_readers(self._dead_letter), methods=["POST"]),
            Route("/login", self._login_form),
            Route("/login", self._login, methods=["POST"]),
            Route("/logout", for_readers(self._logout), methods=["POST"]),
            Route("/assets/{version}/{name}", _asset),
        ]
        handlers: dict[Any, Any] = {StoreError: _store_away, HTTPException: _refused}
        return self._access.protect(Starlette(routes=routes, exception_handlers=handlers))

    # Pages

    async def _fleet(self, request: Request, reader: Reader) -> Response:
        view = View.of(request.query_params)
        rows, fragments = await self._live.fleet(view)
        live = f"/live?{view.query()}" if view.query() else "/live"
        footer = self._footer(rows)
        values = {"view": view, "states": BADGES.values(), "footer": footer}
        return _html("fleet", fleet.title(rows), fragments, reader, live=live, **values)

    async def _server(self, request: Request, reader: Reader) -> Response:
        row = await self._row(request)
        before = _before(request)
        return _html(
            "server",
            row.entry.instance.name,
            await self._live.server(row, reader.form_key, before),
            reader,
            live=f"/instance/{row.slug}/live" + (f"?before={before}" if before else ""),
            slug=row.slug,
            row=row,
            setup=server.setup(row, self._modapi),
            notice=server.notice(request.query_params),
            footer=self._footer((await self._live.board.rows()).values()),
        )

    def _footer(self, rows: Any) -> str:
        uplinks = {row.facts.uplink for row in rows} - {""}
        words = "uplink" if len(uplinks) == 1 else "uplinks"
        return f"dayz-relay {rendering.VERSION} · {self._store.summary()} · {len(uplinks)} {words}"

    async def _row(self, request: Request) -> PageRow:
        row = (await self._live.board.rows()).get(request.path_params["slug"])
        if row is None:
            raise HTTPException(404, "There is no such server.")
        return row

    # Changes, as server-sent events

    async def _fleet_changes(self, request: Request, reader: Reader) -> Response:
        view = View.of(request.query_params)
        return self._stream(request, self._live.fleet_changes(view, reader.until_s))

    async def _server_changes(self, request: Request, reader: Reader) -> Response:
        row = await self._row(request)
        changes = self._live.server_changes(row.slug, reader.form_key, _before(request), reader.until_s)
        return self._stream(request, changes)

    def _stream(self, request: Request, changes: AsyncIterator[bytes]) -> Response:
        if request.method == "HEAD":
            return Response()
        if self._live.streams >= MOST_STREAMS:
            raise HTTPException(503, "Too many pages are open.")
        headers = {"x-accel-buffering": "no"}
        return StreamingResponse(changes, media_type="text/event-stream", headers=headers)

    # Forms

    async def _dead_letter(self, request: Request, reader: Reader) -> Response:
        await self._access.form(request, reader)
        slug, id, verb = (request.path_params[name] for name in ("slug", "id", "verb"))
        if slug not in await self._live.board.rows() or not (id == "all" or _ID.fullmatch(id)):
            raise HTTPException(404, "There is no such dead letter.")
        if verb not in ("retry", "drop"):
            raise HTTPException(404, "There is no such form.")
        letters = DeadLetters(self._store, slug)
        intake = intake_of(self._store, slug, self._metrics, self._limits)
        ids = [id]
        if id == "all":  # those that are there now, in the order in which they came
            ids = [letter.id for letter in reversed(await letters.newest(MAX_DEAD_EVENTS))]
        outcomes: Counter[str] = Counter()
        for id in ids:
            if verb == "retry":
                outcomes[(await repeat(letters, intake, id)).name.lower()] += 1
            else:
                outcomes["dropped" if await letters.drop(id) else "gone"] += 1
        return RedirectResponse(f"/instance/{slug}?{urlencode(outcomes)}#dead-title", 303)

    async def _login_form(self, request: Request) -> Response:
        if self._access.is_open:
            return RedirectResponse("/", 303)
        return _login_page("", own_path(request.query_params.get("next", "")))

    async def _login(self, request: Request) -> Response:
        form = await form_of(request)
        next = own_path(form.get("next", ""))
        if not from_own_page(request.headers):
            raise HTTPException(403, "This form did not come from the page itself.")
        if self._access.log_in(request, form.get("token", "")):
            return RedirectResponse(next, 303)
        if self._access.tries_too_often(request):
            return _login_page("Too many wrong tokens from this address. Wait a minute.", next, 429)
        return _login_page("That is not the admin token.", next, 401)

    async def _logout(self, request: Request, reader: Reader) -> Response:
        await self._access.form(request, reader)
        request.session.clear()
        return RedirectResponse("/login", 303)


async def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in rendering.ASSETS:
        raise HTTPException(404, "There is no such file.")
    headers = {"cache-control": "public, max-age=31536000, immutable"}
    return Response(rendering.asset(name), media_type=rendering.ASSETS[name], headers=headers)


def _html(
    template: str, title: str, fragments: rendering.Fragments, reader: Reader, **values: Any
) -> Response:
    logout_key = reader.form_key if reader.logged_in else ""
    page = rendering.page(template, title, fragments, logout_key=logout_key, **values)
    return Response(page, media_type="text/html")


def _login_page(problem: str, next: str, status: int = 200) -> Response:
    page = rendering.page("login", "Log in", problem=problem, next=next)
    return Response(page, status, media_type="text/html")


async def _store_away(_: Request, error: Exception) -> Response:
    text = f"{error}. Load this page again in a moment."
    return Response(rendering.page("refusal", "Redis is away", text=text), 503, media_type="text/html")


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    title = {404: "Not found", 405: "Not found"}.get(error.status_code, "Not now")
    page = rendering.page("refusal", title, text=error.detail)
    return Response(page, error.status_code, error.headers, "text/html")


def _before(request: Request) -> str:
    before = request.query_params.get("before", "")
    return before if _ID.fullmatch(before) else ""
