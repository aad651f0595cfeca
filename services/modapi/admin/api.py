"""The admin API, `/api/v1`: what hosting panels, the command line and scripts use.

It answers on the admin port only, and to nobody without a token: not on loopback either, where any page in an
operator's browser could call it.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from services.modapi.admin import models, old_api, problems
from services.modapi.admin.activity import ActivityCalls
from services.modapi.admin.activity_models import FleetPlayers, ServerPlayers
from services.modapi.admin.authentication import AdminAuthentication
from services.modapi.admin.dead_letters import DeadLetterCalls
from services.modapi.admin.repeats import (
    IdempotencyKey,
    RememberedCalls,
    SecretOnceRoute,
    once_of,
)
from services.modapi.admin.servers import ServerCalls
from services.modapi.admin.stream_calls import StreamCalls
from services.modapi.admin.streams import Streams
from services.modapi.admin.tokens import AdminTokens
from services.modapi.admin.views import fleet_of, page_of, players_of
from services.modapi.dead_letter_retry import intake_of
from services.modapi.events import EventIntake
from services.modapi.fleet.view import READ_AT_ONCE, FleetView
from services.modapi.metrics import ModapiMetrics
from services.relay.instances.entries import active
from services.relay.instances.players import online_players
from services.relay.service.settings import Settings
from services.relay.store.client import Store

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
_ERRORS = (400, 401, 403, 404, 409, 413, 415, 422, 503)


def add_api(
    pages: FastAPI,
    fleet: FleetView,
    store: Store,
    settings: Settings,
    metrics: ModapiMetrics,
    local_token: str = "",
) -> None:
    """Adds `/api/v1`, and the paths of the version before, to the admin port."""
    take_in = partial(intake_of, store, metrics=metrics, limits=settings.limits)
    tokens = AdminTokens(store, settings.modapi.admin_token, local_token)
    old = old_api.make_api(fleet, ServerCalls(fleet, settings.modapi))
    api = make_api(fleet, store, settings, tokens, Streams(tokens, metrics), take_in)
    pages.mount("/api/v1", AdminAuthentication(api, tokens, problems.response))
    pages.mount("/api", AdminAuthentication(old, tokens, old_api.refusal))


def make_api(
    fleet: FleetView,
    store: Store,
    settings: Settings,
    tokens: AdminTokens,
    streams: Streams,
    take_in: Callable[[str], EventIntake],
) -> FastAPI:
    """The application behind `/api/v1`."""
    api = FastAPI(
        title="dayz-relay admin API",
        version=version("dayz-relay"),
        description=__doc__,
        openapi_tags=_TAGS,
        docs_url=None,  # its page would load scripts from elsewhere, beside the token that one types into it
        redoc_url=None,
        dependencies=[Depends(_SCHEME)],
        responses={status: {"model": problems.ApiProblem} for status in _ERRORS},
        generate_unique_id_function=_operation_id,
    )
    api.include_router(ServerCalls(fleet, settings.modapi).router())
    api.include_router(ActivityCalls(fleet, store, streams, settings.limits.open_commands).router())
    api.include_router(DeadLetterCalls(fleet, store, take_in).router())
    api.include_router(_fleet_calls(fleet, store))
    api.include_router(StreamCalls(fleet, streams).router())
    api.include_router(_token_calls(tokens))
    api.state.calls = RememberedCalls(store)
    problems.add_handlers(api)
    describe = api.openapi
    api.openapi = lambda: _with_media_types(describe())  # type: ignore[method-assign]
    return api


def _fleet_calls(fleet: FleetView, store: Store) -> APIRouter:
    router = APIRouter(tags=["fleet"])

    @router.get("/fleet")
    async def get_fleet() -> models.FleetCounts:
        """Count the servers by state and by cause."""
        return fleet_of(list((await fleet.rows()).values()), fleet.notes)

    @router.get("/players")
    async def list_all_players(
        limit: Annotated[int, Query(ge=1, le=READ_AT_ONCE, description="number of servers")] = READ_AT_ONCE,
        cursor: models.PageCursor = "",
    ) -> FleetPlayers:
        """List the players of all servers that are served, server by server."""
        slugs, next_cursor = page_of(active(await fleet.directory.current()), cursor, limit)
        online = await asyncio.gather(*(online_players(store, slug) for slug in slugs))
        servers = [
            ServerPlayers(slug=slug, **players_of(one)) for slug, one in zip(slugs, online, strict=True)
        ]
        return FleetPlayers(servers=servers, next_cursor=next_cursor)

    @router.get("/relay")
    async def get_relay() -> models.RelayInfo:
        """Show the relay itself."""
        rows = await fleet.rows()
        return models.RelayInfo(
            version=version("dayz-relay"),
            store=store.facts.summary(),
            uplinks=sorted({row.facts.uplink for row in rows.values()} - {""}),
            settings_refused=fleet.directory.file.complaint,
            restart_needed_for=fleet.directory.file.waits_for_restart,
        )

    return router


def _token_calls(tokens: AdminTokens) -> APIRouter:
    router = APIRouter(prefix="/tokens", tags=["tokens"])

    @router.get("")
    async def list_tokens() -> models.TokenList:
        """List the tokens, without their secrets."""
        return models.TokenList(tokens=await tokens.all())

    async def create_token(
        new: models.NewToken, request: Request, idempotency_key: IdempotencyKey = None
    ) -> models.CreatedToken:
        """Make a token. It works at once, at every modapi."""
        once = once_of("create_token", new.name, new, idempotency_key, request)
        return await tokens.create(new.name, new.role, once)

    router.add_api_route(
        "", create_token, methods=["POST"], status_code=201, route_class_override=SecretOnceRoute
    )

    @router.delete("/{name}", status_code=204)
    async def delete_token(name: str) -> None:
        """Delete a token. It works for two seconds more at the most."""
        await tokens.delete(name)

    return router


def _operation_id(route: APIRoute) -> str:
    return route.name


def _with_media_types(description: dict[str, Any]) -> dict[str, Any]:
    """The description with errors as `application/problem+json`."""
    for calls in description["paths"].values():
        for call in calls.values():
            for status, answer in call["responses"].items():
                if status[0] in "45" and "application/json" in answer.get("content", {}):
                    answer["content"] = {problems.MEDIA_TYPE: answer["content"]["application/json"]}
    return description
