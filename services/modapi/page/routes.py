"""The status page as an application: which address shows what."""

from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from services.modapi.admin.context import AdminContext
from services.modapi.page import rendering
from services.modapi.page.access import PageAccess, Reader
from services.modapi.page.forms import Forms
from services.modapi.page.pages import Pages
from services.modapi.page.rendering import page
from services.relay.protocol.errors import NoSuchInstance, StoreError
from services.relay.service.settings_values import is_loopback

_GZIP = [Middleware(GZipMiddleware)]
"""For the page of all servers, which has a kilobyte and a half for each row, and for assets. Not for the page
of one server: there the words of players stand beside the key of the forms, and lengths would tell of it
(BREACH)."""


def add_page(app: FastAPI, context: AdminContext) -> None:
    """Adds the page to the admin port."""
    modapi = context.settings.modapi
    token = modapi.admin_token.get_secret_value() if modapi.admin_token else None
    limits, loopback = context.settings.limits, is_loopback(modapi.admin_host)
    access = PageAccess(token, limits, context.store, context.metrics, loopback=loopback)
    pages = Pages(context)
    forms = Forms(access, context, pages)
    for_readers = access.for_readers
    routes = [
        Route("/", for_readers(pages.fleet), middleware=_GZIP),
        Route("/live", for_readers(pages.fleet_changes)),
        Route("/add", for_readers(pages.add_form)),
        Route("/add", for_readers(forms.add), methods=["POST"]),
        Route("/instance/{slug}", for_readers(pages.server)),
        Route("/instance/{slug}/live", for_readers(pages.server_changes)),
        Route("/instance/{slug}/{verb}", for_readers(forms.change), methods=["POST"]),
        Route("/instance/{slug}/{verb}", for_readers(_server)),
        Route("/instance/{slug}/dead/{id}/{verb}", for_readers(forms.dead_letters), methods=["POST"]),
        Route("/login", forms.login),
        Route("/login", forms.log_in, methods=["POST"]),
        Route("/logout", for_readers(forms.log_out), methods=["POST"]),
        Route("/assets/{version}/{name}", _asset, middleware=_GZIP),
    ]
    handlers: dict[Any, Any] = {
        StoreError: _store_away,
        NoSuchInstance: _no_such_server,
        HTTPException: _refused,
    }
    app.mount("/", access.protect(Starlette(routes=routes, exception_handlers=handlers)))


async def _server(request: Request, _: Reader) -> Response:
    """The answer to a form stands at the address of the form, and is gone when that is opened again."""
    return RedirectResponse(f"/instance/{quote(request.path_params['slug'])}", 303)


async def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in rendering.ASSETS:
        raise HTTPException(404, "There is no such file.")
    headers = {"cache-control": "public, max-age=31536000, immutable"}
    return Response(rendering.asset(name), media_type=rendering.ASSETS[name], headers=headers)


async def _store_away(_: Request, error: Exception) -> Response:
    return page("refusal", "Redis is away", status=503, text=f"{error}. Load this page again in a moment.")


async def _no_such_server(_: Request, __: Exception) -> Response:
    return page("refusal", "Not found", status=404, text="There is no such server.")


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    title = "Not found" if error.status_code in (404, 405) else "Not now"
    refusal = page("refusal", title, status=error.status_code, text=error.detail)
    refusal.headers.update(error.headers or {})
    return refusal
