"""`/api/instances`, which `/api/v1/servers` has replaced: its calls answer as before for one release.

They are carried out by the calls of `/api/v1`. Only their answers and errors have the old form.
"""

import asyncio
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from services.modapi.admin import models, servers
from services.modapi.admin.context import AdminContext, Context, Row
from services.modapi.admin.problems import RAISED, ErrorCode, code_of, in_words, wrong_values
from services.modapi.admin.repeats import OnceRoute
from services.modapi.admin.views import server_of
from services.relay.service.http.health import no_such_call
from services.relay.service.logs import clean

_SCHEME = HTTPBearer(auto_error=False, description="admin_token of [modapi]")  # AdminAuthentication checks it

SUPERSEDED = {"deprecation": "true", "link": '</api/v1/servers>; rel="successor-version"'}
"""The headers of every answer."""

_router = APIRouter(prefix="/instances", route_class=OnceRoute)


class InstanceView(BaseModel):
    """One instance. `served` is false if it is disabled, or if `note` gives a reason not to serve it."""

    slug: str
    name: str
    origin: str  # "file": defined in relay.toml; "redis": added by the API or `dayz-relay instance add`
    disabled: bool
    served: bool
    note: str
    has_registration_token: bool
    mod_keys: list[models.ModKeyDates]
    link: str  # its state; "": no uplink owns the instance
    game_server_id: str | None
    last_contact: datetime | None
    events_waiting: int
    commands_waiting: int


class Instances(BaseModel):
    instances: list[InstanceView]


class Changed(InstanceView):
    """The instance as it is now."""

    warnings: models.Warnings


class NewKey(InstanceView):
    """The instance with its new mod key, which is shown this once."""

    mod_key: str


class Added(NewKey, Changed):
    """The instance with its mod key and its identity token, which are shown this once."""

    identity_token: str


class ApiRefusal(BaseModel):
    """Why it was not done, in a sentence."""

    error: str


def refusal(code: ErrorCode, detail: str) -> JSONResponse:
    """An error in the form of these calls. `detail` may hold what was sent."""
    headers = {"www-authenticate": "Bearer"} if code.status == 401 else None
    return JSONResponse({"error": clean(detail)}, code.status, headers)


def make_api(context: AdminContext) -> FastAPI:
    """The application behind `/api`."""
    api = FastAPI(
        title="dayz-relay admin API",
        docs_url=None,  # its page would load scripts from elsewhere, beside the token that one types into it
        redoc_url=None,
        dependencies=[Depends(_SCHEME)],
        responses={status: {"model": ApiRefusal} for status in (401, 404, 409, 413, 422, 503)},
        exception_handlers={
            **dict.fromkeys(RAISED, _refused),
            HTTPException: no_such_call,
            RequestValidationError: _invalid,
        },
    )
    api.state.context = context
    api.include_router(_router)
    return api


@_router.get("", response_model=Instances)
async def list_instances(context: Context) -> Any:
    defined = await context.fleet.directory.current()
    rows = await asyncio.gather(*(context.fleet.row(slug, defined) for slug in defined))
    return {"instances": [_old(server_of(row)) for row in rows]}


@_router.post("", response_model=Added, status_code=201)
async def add_instance(created: Annotated[models.CreatedServer, Depends(servers.create_server)]) -> Any:
    return _old_changed(created)


@_router.get("/{slug}", response_model=InstanceView)
async def show_instance(row: Row) -> Any:
    return _old(server_of(row))


@_router.patch("/{slug}", response_model=Changed)
async def change_instance(changed: Annotated[models.ChangedServer, Depends(servers.change_server)]) -> Any:
    return _old_changed(changed)


@_router.post("/{slug}/rotate", response_model=NewKey)
async def rotate_mod_key(rotated: Annotated[models.RotatedServer, Depends(servers.rotate_mod_key)]) -> Any:
    return _old_changed(rotated)


_router.delete("/{slug}", status_code=204)(servers.delete_server)


def _old(server: models.Server) -> dict[str, Any]:
    return {
        **dict(server),
        "origin": server.origin.name.lower(),
        "link": server.link.state,
        "game_server_id": server.link.game_server_id,
        "last_contact": server.mod.last_contact,
    }


def _old_changed(answer: models.ChangedServer) -> dict[str, Any]:
    """The server, its warnings, its new key: the models above keep what belongs into their answer."""
    return {**dict(answer), **_old(answer.server)}


async def _refused(_: Request, error: Exception) -> JSONResponse:
    return refusal(code_of(error), str(error))


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return refusal(ErrorCode.INVALID, in_words(wrong_values(error)))
