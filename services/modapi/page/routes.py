"""The status page as an application: which address shows what."""

import zlib
from collections.abc import AsyncIterator, Iterable, Mapping
from functools import partial
from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from services.modapi.admin.servers import ServerCalls
from services.modapi.dead_letter_retry import intake_of
from services.modapi.fleet.rows import ServerRow
from services.modapi.fleet.view import FleetView
from services.modapi.metrics import ModapiMetrics
from services.modapi.page import fleet, rendering, server
from services.modapi.page.access import PageAccess, Protected, Reader, check_own_page, form_of, own_path
from services.modapi.page.forms import ID, Forms, new_once
from services.modapi.page.live import LivePages
from services.modapi.page.view import View
from services.modapi.page.words import counted
from services.relay.protocol.errors import NoSuchInstance, StoreError
from services.relay.service.settings import ModApi, Settings
from services.relay.service.settings_values import is_loopback
from services.relay.store.client import Store

MOST_STREAMS = 200

_GZIP = [Middleware(GZipMiddleware)]
"""For the page of all servers, which has a kilobyte and a half for each row, and for assets. Not for the page
of one server: there the words of players stand beside the key of the forms, and lengths would tell of it
(BREACH)."""


def add_page(
    pages: FastAPI, settings: Settings, fleet_view: FleetView, store: Store, metrics: ModapiMetrics
) -> LivePages:
    """Adds the page to those of the admin port. What is returned has to run."""
    modapi, limits = settings.modapi, settings.limits
    token = modapi.admin_token.get_secret_value() if modapi.admin_token else None
    live = LivePages(fleet_view, store, metrics.service.faults)
    access = PageAccess(token, limits, loopback=is_loopback(modapi.admin_host))
    take_in = partial(intake_of, store, metrics=metrics, limits=limits)
    forms = Forms(access, live, ServerCalls(fleet_view, modapi), store, settings, take_in)
    pages.mount("/", StatusPage(live, access, forms, store, modapi).app())
    return live


class StatusPage:
    """Shows the fleet and each server."""

    def __init__(
        self, live: LivePages, access: PageAccess, forms: Forms, store: Store, modapi: ModApi
    ) -> None:
        self._live = live
        self._access = access
        self._forms = forms
        self._store = store
        self._modapi = modapi

    def app(self) -> Protected:
        for_readers = self._access.for_readers
        add = partial(self._forms.add, show_form=self._add_form, show=self._server)
        change = partial(self._forms.change, show=self._server)
        drop_or_retry = self._forms.dead_letters
        routes = [
            Route("/", for_readers(self._fleet), middleware=_GZIP),
            Route("/live", for_readers(self._fleet_changes)),
            Route("/add", for_readers(self._add_form)),
            Route("/add", for_readers(add), methods=["POST"]),
            Route("/instance/{slug}", for_readers(self._server)),
            Route("/instance/{slug}/live", for_readers(self._server_changes)),
            Route("/instance/{slug}/{verb}", for_readers(change), methods=["POST"]),
            Route("/instance/{slug}/dead/{id}/{verb}", for_readers(drop_or_retry), methods=["POST"]),
            Route("/login", self._login_form),
            Route("/login", self._login, methods=["POST"]),
            Route("/logout", for_readers(self._logout), methods=["POST"]),
            Route("/assets/{version}/{name}", _asset, middleware=_GZIP),
        ]
        handlers: dict[Any, Any] = {
            StoreError: _store_away,
            NoSuchInstance: _no_such_server,
            HTTPException: _refused,
        }
        return self._access.protect(Starlette(routes=routes, exception_handlers=handlers))

    # Pages

    async def _fleet(self, request: Request, reader: Reader) -> Response:
        view = View.of(request.query_params)
        rows, fragments = await self._live.fleet(view)
        if not rows and not await self._live.fleet_view.directory.current():
            return await self._add_form(request, reader, first=True)
        return _page(
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

    async def _server(
        self, request: Request, reader: Reader, *, slug: str = "", status: int = 200, **values: str
    ) -> Response:
        """The page of one server; after a form with its outcome: `config`, `notice`, `problem`."""
        row = await self._live.fleet_view.row(slug or request.path_params["slug"])
        before = _before(request)
        outcome: dict[str, Any] = {
            "config": "",
            "notice": server.notice(request.query_params),
            "problem": "",
            **values,
        }
        return _page(
            "server",
            row.entry.instance.name,
            await self._live.server(row, reader.form_key, before),
            reader,
            status=status,
            live=f"/instance/{row.slug}/live" + (f"?before={before}" if before else ""),
            slug=row.slug,
            row=row,
            setup=server.setup(row, self._modapi),
            once=new_once(),
            retried=server.retried(request.query_params),
            about=self._about((await self._live.fleet_view.rows()).values()),
            **outcome,
        )

    async def _add_form(self, request: Request, reader: Reader, **values: Any) -> Response:
        fields = {"name": "", "slug": "", "registration_token": ""}
        shown = {"first": False, "problem": "", "fields": fields, "once": new_once(), **values}
        status = shown.pop("status", 200)
        return _page("add", "Add a server", {"notes": self._live.notes()}, reader, status=status, **shown)

    def _about(self, rows: Iterable[ServerRow]) -> dict[str, str]:
        """What the relay runs on, for the footer."""
        uplinks = counted(len({row.facts.uplink for row in rows} - {""}), "uplink")
        return {"version": rendering.VERSION, "uplinks": uplinks, "store": self._store.facts.summary()}

    # Changes, as server-sent events

    async def _fleet_changes(self, request: Request, reader: Reader) -> Response:
        view = View.of(request.query_params)
        compresses = "gzip" in request.headers.get("accept-encoding", "")
        return self._stream(request, self._live.fleet_changes(view, reader.until_s), compresses=compresses)

    async def _server_changes(self, request: Request, reader: Reader) -> Response:
        row = await self._live.fleet_view.row(request.path_params["slug"])
        changes = self._live.server_changes(row.slug, reader.form_key, _before(request), reader.until_s)
        return self._stream(request, changes)

    def _stream(
        self, request: Request, changes: AsyncIterator[bytes], *, compresses: bool = False
    ) -> Response:
        if request.method == "HEAD":
            return Response()
        if self._live.streams >= MOST_STREAMS:
            raise HTTPException(503, "Too many pages are open.")
        headers = {"x-accel-buffering": "no"}
        if compresses:
            headers["content-encoding"] = "gzip"
            changes = _gzipped(changes)
        return StreamingResponse(changes, media_type="text/event-stream", headers=headers)

    # Login

    async def _login_form(self, request: Request) -> Response:
        if self._access.is_open:
            return RedirectResponse("/", 303)
        return _login_page("", own_path(request.query_params.get("next", "")))

    async def _login(self, request: Request) -> Response:
        form = await form_of(request)
        next = own_path(form.get("next", ""))
        check_own_page(request.headers)
        if self._access.log_in(request, form.get("token", "").strip()):
            return RedirectResponse(next, 303)
        if self._access.tries_too_often(request):
            return _login_page("Too many wrong tokens from this address. Wait a minute.", next, 429)
        return _login_page("That is not the admin token.", next, 401)

    async def _logout(self, request: Request, reader: Reader) -> Response:
        await self._access.form(request, reader)
        request.session.clear()
        return RedirectResponse("/login", 303)


async def _gzipped(changes: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The changes, each as soon as it comes. 64 KiB of memory for each stream."""
    packer = zlib.compressobj(wbits=16 + 13, memLevel=6)
    async for change in changes:
        yield packer.compress(change) + packer.flush(zlib.Z_SYNC_FLUSH)


async def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in rendering.ASSETS:
        raise HTTPException(404, "There is no such file.")
    headers = {"cache-control": "public, max-age=31536000, immutable"}
    return Response(rendering.asset(name), media_type=rendering.ASSETS[name], headers=headers)


def _page(
    template: str,
    title: str,
    fragments: rendering.Fragments | None = None,
    reader: Reader | None = None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **values: Any,
) -> Response:
    """A page; with a reader, its forms have the reader's key."""
    if reader:
        values |= {"form_key": reader.form_key, "logged_in": reader.logged_in}
    page = rendering.page(template, title, fragments, **values)
    return Response(page, status, headers, media_type="text/html")


def _login_page(problem: str, next: str, status: int = 200) -> Response:
    return _page("login", "Log in", status=status, problem=problem, next=next)


async def _store_away(_: Request, error: Exception) -> Response:
    return _page("refusal", "Redis is away", status=503, text=f"{error}. Load this page again in a moment.")


async def _no_such_server(request: Request, _: Exception) -> Response:
    return await _refused(request, HTTPException(404, "There is no such server."))


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    title = "Not found" if error.status_code in (404, 405) else "Not now"
    return _page("refusal", title, status=error.status_code, headers=error.headers, text=error.detail)


def _before(request: Request) -> str:
    before = request.query_params.get("before", "")
    return before if ID.fullmatch(before) else ""
