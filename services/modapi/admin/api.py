"""The admin API, `/api/v1`: what hosting panels, the command line and scripts use.

It answers on the admin port only, and to nobody without a token: not on loopback either, where any page in an
operator's browser could call it.
"""

import asyncio
from importlib.metadata import version
from operator import attrgetter
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query
from fastapi.security import HTTPBearer

from services.modapi.admin import (
    activity,
    dead_letters,
    models,
    old_api,
    problems,
    servers,
    stream_calls,
)
from services.modapi.admin.activity_models import FleetPlayers, ServerPlayers
from services.modapi.admin.authentication import AdminAuthentication
from services.modapi.admin.context import AdminContext, Context
from services.modapi.admin.repeats import OnceOf, OnceRoute
from services.modapi.admin.views import fleet_of, page_of, players_of
from services.modapi.fleet.view import READ_AT_ONCE
from services.relay.instances.definitions import active
from services.relay.instances.facts import online_players

_SCHEME = HTTPBearer(  # AdminAuthentication checks it
    auto_error=False, description="`admin_token` of [modapi], or a token that `create_token` has made"
)
_TAGS = [
    {"name": "servers", "description": "The DayZ servers: their state, and what is done with them."},
    {"name": "activity", "description": "What happens on a server."},
    {"name": "dead letters", "description": "Events that cannot be delivered."},
    {"name": "fleet", "description": "All servers in numbers, and the relay itself."},
    {"name": "tokens", "description": "Who may use this API."},
]
_ERRORS = (400, 401, 403, 404, 409, 413, 415, 422, 500, 503)


_fleet = APIRouter(tags=["fleet"])
_tokens = APIRouter(prefix="/tokens", tags=["tokens"], route_class=OnceRoute)


def add_api(pages: FastAPI, context: AdminContext) -> None:
    """Adds `/api/v1`, and the paths of the version before, to the admin port."""
    known = context.tokens, context.metrics
    pages.mount("/api/v1", AdminAuthentication(make_api(context), *known, problems.response, {}))
    old = AdminAuthentication(old_api.make_api(context), *known, old_api.refusal, old_api.SUPERSEDED)
    pages.mount("/api", old)


def make_api(context: AdminContext) -> FastAPI:
    """The application behind `/api/v1`."""
    api = FastAPI(
        title="dayz-relay admin API",
        version=version("dayz-relay"),
        description=__doc__,
        openapi_tags=_TAGS,
        docs_url=None,  # its page would load scripts from elsewhere, beside the token that one types into it
        redoc_url=None,
        redirect_slashes=False,  # a slug that is left out would lead to the list
        dependencies=[Depends(_SCHEME)],
        responses={status: {"model": problems.ApiProblem} for status in _ERRORS},
        generate_unique_id_function=attrgetter("name"),
        exception_handlers=problems.HANDLERS,
    )
    api.state.context = context
    for calls in (servers, activity, dead_letters):
        api.include_router(calls.router)
    api.include_router(_fleet)
    api.include_router(stream_calls.router)
    api.include_router(_tokens)
    describe = api.openapi
    api.openapi = lambda: _with_media_types(describe())  # type: ignore[method-assign]
    return api


@_fleet.get("/fleet")
async def get_fleet(context: Context) -> models.FleetCounts:
    """Count the servers by state and by cause."""
    return fleet_of(list((await context.fleet.rows()).values()), context.fleet.last.notes)


@_fleet.get("/players")
async def list_all_players(
    context: Context,
    limit: Annotated[int, Query(ge=1, le=READ_AT_ONCE, description="number of servers")] = READ_AT_ONCE,
    cursor: models.PageCursor = "",
) -> FleetPlayers:
    """List the players of all servers that are served, server by server."""
    slugs, next_cursor = page_of(active(await context.fleet.directory.current()), cursor, limit)
    online = await asyncio.gather(*(online_players(context.store, slug) for slug in slugs))
    found = [ServerPlayers(slug=slug, **players_of(one)) for slug, one in zip(slugs, online, strict=True)]
    return FleetPlayers(servers=found, next_cursor=next_cursor)


@_fleet.get("/relay")
async def get_relay(context: Context) -> models.RelayInfo:
    """Show the relay itself."""
    rows, file = await context.fleet.rows(), context.fleet.directory.file
    return models.RelayInfo(
        version=version("dayz-relay"),
        store=context.store.facts.summary(),
        uplinks=sorted({row.facts.uplink for row in rows.values()} - {""}),
        settings_refused=file.complaint,
        restart_needed_for=file.waits_for_restart,
    )


@_tokens.get("")
async def list_tokens(context: Context) -> models.TokenList:
    """List the tokens, without their secrets."""
    return models.TokenList(tokens=await context.tokens.all())


@_tokens.post("", status_code=201)
async def create_token(new: models.NewToken, once: OnceOf, context: Context) -> models.CreatedToken:
    """Make a token. It works at once, at every modapi."""
    return await context.tokens.create(new.name, new.role, once)


@_tokens.delete("/{name}", status_code=204)
async def delete_token(name: str, context: Context) -> None:
    """Delete a token. It works for two seconds more at the most."""
    await context.tokens.delete(name)


def _with_media_types(description: dict[str, Any]) -> dict[str, Any]:
    """The description with errors as `application/problem+json`."""
    for calls in description["paths"].values():
        for call in calls.values():
            for status, answer in call["responses"].items():
                if status[0] in "45" and "application/json" in answer.get("content", {}):
                    answer["content"] = {problems.MEDIA_TYPE: answer["content"]["application/json"]}
    return description
