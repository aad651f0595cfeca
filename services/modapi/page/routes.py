"""The status page as an application: which address shows what, and what each form does."""

import re
from collections import Counter
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from urllib.parse import parse_qs, quote, urlencode

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from services.modapi.dead_letter_retry import intake_of, repeat
from services.modapi.http.bodies import CutShort, TooLarge, read_body
from services.modapi.metrics import ModapiMetrics
from services.modapi.page import fleet, instance, layout
from services.modapi.page.access import NO_TOKEN, Hardened, PageAccess, Reader, cookie, from_here
from services.modapi.page.dead_letters import notice
from services.modapi.page.live import Live, News
from services.modapi.page.markup import Html
from services.modapi.page.view import PageRow, View
from services.relay.instances.dead_letters import DeadLetters
from services.relay.instances.directory import Directory
from services.relay.instances.minutes import read_minutes
from services.relay.protocol.errors import StoreError
from services.relay.protocol.limits import Limits
from services.relay.service.settings import ModApi, Settings
from services.relay.service.settings_values import is_loopback
from services.relay.store.client import Store
from services.relay.store.event_stream import MAX_DEAD_EVENTS

MAX_FORM_BYTES = 4 * 1024
MOST_STREAMS = 200

_ID = re.compile(r"\d{1,15}-\d{1,10}")
_NEXT = re.compile(r"/(?:instance/[a-z0-9-]{1,64})?")

Handler = Callable[[Request], Awaitable[Response]]
ForReader = Callable[[Request, Reader], Awaitable[Response]]


def add_page(
    pages: FastAPI, settings: Settings, directory: Directory, store: Store, metrics: ModapiMetrics
) -> Live:
    """Adds the page to those of the admin port. What is returned has to run."""
    modapi = settings.modapi
    token = modapi.admin_token.get_secret_value() if modapi.admin_token else None
    live = Live(directory, store, modapi, metrics.service.faults)
    door = PageAccess(token, settings.limits, loopback=is_loopback(modapi.admin_host))
    pages.mount("/", StatusPage(live, door, store, metrics, settings.limits, modapi).app())
    return live


class StatusPage:
    """Shows the fleet, and takes the few forms there are."""

    def __init__(
        self,
        live: Live,
        door: PageAccess,
        store: Store,
        metrics: ModapiMetrics,
        limits: Limits,
        modapi: ModApi,
    ) -> None:
        self._live = live
        self._door = door
        self._store = store
        self._metrics = metrics
        self._limits = limits
        self._modapi = modapi

    def app(self) -> Hardened:
        routes = [
            Route("/", self._for_reader(self._fleet)),
            Route("/live", self._for_reader(self._fleet_news)),
            Route("/instance/{slug}", self._for_reader(self._instance)),
            Route("/instance/{slug}/live", self._for_reader(self._instance_news)),
            Route("/instance/{slug}/dead/{id}/{verb}", self._for_reader(self._letter), methods=["POST"]),
            Route("/login", self._login_form),
            Route("/login", self._login, methods=["POST"]),
            Route("/logout", self._for_reader(self._logout), methods=["POST"]),
            Route("/assets/{version}/{name}", self._asset),
        ]
        handlers: dict[object, object] = {StoreError: self._away, HTTPException: self._no_such_page}
        return Hardened(Starlette(routes=routes, exception_handlers=handlers))  # type: ignore[arg-type]

    # Pages

    async def _fleet(self, request: Request, reader: Reader) -> Response:
        view = View.of(request.query_params)
        rows = list((await self._live.board.rows()).values())
        live = f"/live?{view.query()}" if view.query() else "/live"
        return await self._page(fleet.title(rows), fleet.page(rows, view), reader, live)

    async def _instance(self, request: Request, reader: Reader) -> Response:
        row = await self._row(request)
        before = _before(request)
        body = instance.page(
            row,
            self._modapi,
            await read_minutes(self._store, row.slug, row.facts.now_ms),
            await self._live.events(row),
            await self._live.letters(row.slug, reader.form_key, before),
            notice(request.query_params),
        )
        live = f"/instance/{row.slug}/live" + (f"?before={before}" if before else "")
        return await self._page(row.entry.instance.name, body, reader, live)

    async def _page(self, title: str, body: Html, reader: Reader, live: str) -> Response:
        key = reader.form_key if reader.logged_in else ""
        uplinks = {row.facts.uplink for row in (await self._live.board.rows()).values()} - {""}
        notes = self._live.board.notes()
        footer = f"dayz-relay {version('dayz-relay')} · {self._store.summary()} · {len(uplinks)} uplink"
        if len(uplinks) != 1:
            footer += "s"
        return _shown(layout.page(title, body, live=live, form_key=key, footer=footer, notes=notes))

    async def _row(self, request: Request) -> PageRow:
        row = (await self._live.board.rows()).get(request.path_params["slug"])
        if row is None:
            raise HTTPException(404, "There is no such server.")
        return row

    # News

    async def _fleet_news(self, request: Request, reader: Reader) -> Response:
        return self._stream(request, self._live.fleet_news(View.of(request.query_params), reader.until_s))

    async def _instance_news(self, request: Request, reader: Reader) -> Response:
        row = await self._row(request)
        return self._stream(
            request,
            self._live.instance_news(row.slug, reader.form_key, _before(request), reader.until_s),
        )

    def _stream(self, request: Request, news: News) -> Response:
        if request.method == "HEAD":
            return Response()
        if self._live.streams >= MOST_STREAMS:
            raise HTTPException(503, "Too many pages are open.")
        headers = {"x-accel-buffering": "no"}
        return StreamingResponse(news, media_type="text/event-stream", headers=headers)

    # Forms

    async def _letter(self, request: Request, reader: Reader) -> Response:
        await self._check(request, reader)
        slug, id, verb = (request.path_params[name] for name in ("slug", "id", "verb"))
        if slug not in await self._live.board.rows() or not (id == "all" or _ID.fullmatch(id)):
            raise HTTPException(404, "There is no such letter.")
        if verb not in ("repeat", "drop"):
            raise HTTPException(404, "There is no such form.")
        letters = DeadLetters(self._store, slug)
        intake = intake_of(self._store, slug, self._metrics, self._limits)
        ids = [id]
        if id == "all":  # those that are there now, in the order in which they came
            ids = [letter.id for letter in reversed(await letters.newest(MAX_DEAD_EVENTS))]
        came: Counter[str] = Counter()
        for id in ids:
            if verb == "repeat":
                came[(await repeat(letters, intake, id)).name.lower()] += 1
            else:
                came["dropped" if await letters.drop(id) else "gone"] += 1
        return RedirectResponse(f"/instance/{slug}?{urlencode(came)}#dead-title", 303)

    async def _login_form(self, request: Request) -> Response:
        if self._door.open:
            return RedirectResponse("/", 303)
        return _shown(layout.login(next=_next(request.query_params.get("next", ""))))

    async def _login(self, request: Request) -> Response:
        form = await _form(request)
        next = _next(form.get("next", ""))
        if not from_here(request.headers):
            raise HTTPException(403, "This form did not come from the page itself.")
        if value := self._door.log_in(form.get("token", "")):
            return RedirectResponse(next, 303, {"set-cookie": cookie(value, request)})
        if self._door.tries_too_often(request):
            return _shown(layout.login("Too many wrong tokens from this address. Wait a minute.", next), 429)
        return _shown(layout.login("That is not the admin token.", next), 401)

    async def _logout(self, request: Request, reader: Reader) -> Response:
        await self._check(request, reader)
        return RedirectResponse("/login", 303, {"set-cookie": cookie("", request)})

    async def _check(self, request: Request, reader: Reader) -> None:
        key = (await _form(request)).get("key", "")
        if not self._door.may_change(request, reader, key):
            raise HTTPException(
                403, "This form did not come from the page itself, or is too old: load the page again."
            )

    # The door

    def _for_reader(self, handler: ForReader) -> Handler:
        async def admitted(request: Request) -> Response:
            if reader := self._door.reader(request):
                return await handler(request, reader)
            if self._door.open:
                raise HTTPException(403, NO_TOKEN)
            if "authorization" in request.headers and self._door.tries_too_often(request):
                raise HTTPException(429, "Too many wrong tokens from this address.")
            wants_page = request.method == "GET" and not request.url.path.endswith("/live")
            if wants_page and "authorization" not in request.headers:
                return RedirectResponse(f"/login?next={quote(_next(request.url.path))}", 303)
            raise HTTPException(401, "Log in first.", {"www-authenticate": "Bearer"})

        return admitted

    async def _asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in layout.ASSETS:
            raise HTTPException(404, "There is no such file.")
        headers = {"cache-control": "public, max-age=31536000, immutable"}
        return Response(layout.asset(name), media_type=layout.ASSETS[name], headers=headers)

    async def _away(self, _: Request, error: Exception) -> Response:
        return _shown(layout.refusal("Redis is away", f"{error}. Load this page again in a moment."), 503)

    async def _no_such_page(self, _: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        title = {404: "Not found", 405: "Not found"}.get(error.status_code, "Not now")
        return _shown(layout.refusal(title, error.detail), error.status_code, error.headers)


def _shown(page: bytes, status: int = 200, headers: object = None) -> Response:
    return Response(page, status, headers, "text/html")  # type: ignore[arg-type]


def _before(request: Request) -> str:
    before = request.query_params.get("before", "")
    return before if _ID.fullmatch(before) else ""


def _next(path: str) -> str:
    """Where to go after the login: to a page of ours."""
    return path if _NEXT.fullmatch(path) else "/"


async def _form(request: Request) -> dict[str, str]:
    try:
        body = await read_body(request.scope, request.receive, MAX_FORM_BYTES)
    except TooLarge:
        raise HTTPException(413, "That is too much for a form.") from None
    except CutShort:
        raise HTTPException(400, "The form was cut short.") from None
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
