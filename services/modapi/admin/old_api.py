"""`/api/instances`, which `/api/v1/servers` has replaced: its calls answer as before for one release."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from services.modapi.admin.models import Body, Rotation
from services.modapi.admin.problems import RULES, ErrorCode, place_of, words_of
from services.modapi.admin.repeats import IdempotencyKey, once_of
from services.modapi.admin.views import server_of
from services.modapi.fleet.rows import ServerRow
from services.modapi.fleet.view import FleetView
from services.relay.instances.entries import ServedEntry, active
from services.relay.instances.records import InstanceUpdate
from services.relay.instances.registry import Issued
from services.relay.protocol.errors import InstanceConflict, NoSuchInstance, StoreError
from services.relay.service.http.health import no_such_call
from services.relay.service.logs import clean
from services.relay.service.settings import Instance
from services.relay.service.settings_values import DisplayName, Slug, Token
from services.relay.service.settings_warnings import equal_name, guessable

_SCHEME = HTTPBearer(auto_error=False, description="admin_token of [modapi]")  # AdminAuthentication checks it

SUPERSEDED = {"deprecation": "true", "link": '</api/v1/servers>; rel="successor-version"'}
"""The headers of every answer."""


class NewInstance(Body):
    """An instance to add. Without an identity token it gets a new one: Takaro sees a new server then."""

    slug: Slug
    name: DisplayName
    identity_token: Token | None = None
    registration_token: Annotated[
        Token | None, Field(description="its own; without one that of [takaro] in relay.toml serves")
    ] = None
    disabled: bool = False


class InstanceChange(Body):
    """What is to be changed; what is left out stays. `null` takes the registration token away."""

    name: DisplayName | None = None
    registration_token: Token | None = None
    disabled: bool | None = None


class KeyView(BaseModel):
    """One mod key. `added` is None for the keys of relay.toml: it is unknown."""

    added: datetime | None
    expires: datetime | None


class InstanceView(BaseModel):
    """One instance. `served` is false if it is disabled, or if `note` gives a reason not to serve it."""

    slug: str
    name: str
    origin: str
    """"file": defined in relay.toml; "redis": added by the API or `dayz-relay instance add`."""
    disabled: bool
    served: bool
    note: str
    has_registration_token: bool
    mod_keys: list[KeyView]
    link: str
    """State of the link to Takaro; "ready": linked, "": no uplink owns the instance."""
    game_server_id: str | None
    last_contact: datetime | None
    """When the mod was last heard of, to within some seconds."""
    events_waiting: int
    commands_waiting: int


class Instances(BaseModel):
    instances: list[InstanceView]


Warnings = Annotated[
    list[str],
    Field(
        description=(
            "Sentences for whoever asked for this: it was done, and something about it is worth a warning,"
            " as a name that another server of the same Takaro domain has (Takaro refuses the second)."
        )
    ),
]


class Changed(InstanceView):
    """The instance as it is now."""

    warnings: Warnings


class NewKey(InstanceView):
    """The instance with its new mod key, which is shown this once."""

    mod_key: str


class Added(NewKey):
    """The instance with its mod key and its identity token, which are shown this once."""

    identity_token: str
    warnings: Warnings


class ApiRefusal(BaseModel):
    """Why it was not done, in a sentence."""

    error: str


def refusal(code: ErrorCode, detail: str) -> JSONResponse:
    """An error in the form of these calls."""
    status = RULES[code].status
    headers = {"www-authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"error": detail}, status, {**(headers or {}), **SUPERSEDED})


def make_api(fleet: FleetView) -> FastAPI:
    """The application behind `/api`."""
    refusals = {status: {"model": ApiRefusal} for status in (401, 404, 409, 413, 422, 503)}
    api = FastAPI(
        title="dayz-relay admin API",
        docs_url=None,  # its page would load scripts from elsewhere, beside the token that one types into it
        redoc_url=None,
        dependencies=[Depends(_SCHEME), Depends(_superseded)],
        responses=refusals,  # type: ignore[arg-type]  # its keys may be int, its annotation is invariant
    )
    directory, registry = fleet.directory, fleet.directory.registry

    async def view(slug: str, entries: Mapping[str, ServedEntry] | None = None) -> InstanceView:
        return _view(await fleet.row(slug, entries))

    async def changed(slug: str, *warnings: str) -> Changed:
        entries = await directory.current()
        seen = await view(slug, entries)
        served = [entry.instance for entry in active(entries).values()]
        return Changed(**dict(seen), warnings=[*filter(None, warnings), *equal_name(slug, served)])

    async def new_key(slug: str, issued: Issued) -> NewKey:
        return NewKey(**dict(await view(slug)), mod_key=issued.mod_key)

    @api.get("/instances")
    async def list_instances() -> Instances:
        entries = await directory.current()
        return Instances(instances=await asyncio.gather(*(view(slug, entries) for slug in entries)))

    @api.post("/instances", status_code=201)
    async def add_instance(
        new: NewInstance, request: Request, idempotency_key: IdempotencyKey = None
    ) -> Added:
        issued = await registry.create(
            new.slug,
            new.name,
            identity_token=new.identity_token,
            registration_token=new.registration_token,
            disabled=new.disabled,
            once=once_of("add", new.slug, new, idempotency_key, request),
        )
        identity = issued.record.identity_token
        added = Instance(slug=new.slug, name=new.name, identity_token=identity)
        return Added(
            **dict(await changed(new.slug, guessable(added))),
            mod_key=issued.mod_key,
            identity_token=identity.get_secret_value(),
        )

    @api.get("/instances/{slug}")
    async def show_instance(slug: str) -> InstanceView:
        return await view(slug)

    @api.patch("/instances/{slug}")
    async def change_instance(slug: str, change: InstanceChange) -> Changed:
        token = change.registration_token.get_secret_value() if change.registration_token else None
        if "registration_token" in change.model_fields_set and token is None:
            token = ""
        await registry.patch(slug, InstanceUpdate(change.name, change.disabled, token))
        return await changed(slug)

    @api.delete("/instances/{slug}", status_code=204)
    async def remove_instance(
        slug: str,
        purge: Annotated[bool, Query(description="delete its data now, not a day later")] = False,
    ) -> None:
        await registry.remove(slug, purge=purge)

    @api.post("/instances/{slug}/rotate")
    async def rotate_mod_key(
        slug: str,
        request: Request,
        rotation: Rotation | None = None,
        idempotency_key: IdempotencyKey = None,
    ) -> NewKey:
        asked = rotation or Rotation()
        issued = await registry.rotate(
            slug,
            asked.overlap_s,
            force=asked.force,
            once=once_of("rotate", slug, asked, idempotency_key, request),
        )
        return await new_key(slug, issued)

    _tell_refusals(api)
    return api


def _superseded(response: Response) -> None:
    response.headers.update(SUPERSEDED)


def _view(row: ServerRow) -> InstanceView:
    server = server_of(row)
    seen = server.model_dump(include=InstanceView.model_fields.keys() - {"origin", "link"})
    return InstanceView(
        **seen,
        origin=row.entry.origin.value,
        link=server.link.state,
        game_server_id=server.link.game_server_id,
        last_contact=server.mod.last_contact,
    )


def _tell_refusals(api: FastAPI) -> None:
    for kind, status in ((NoSuchInstance, 404), (InstanceConflict, 409), (StoreError, 503)):

        async def refused(_: Request, error: Exception, status: int = status) -> JSONResponse:
            return JSONResponse({"error": clean(str(error))}, status)  # it may name what was sent

        api.add_exception_handler(kind, refused)

    async def unreadable(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        # Its words only: what was sent may hold a secret.
        lines = [f"{place_of(problem['loc'])}: {words_of(problem['msg'])}" for problem in error.errors()]
        return JSONResponse({"error": clean("; ".join(lines))}, 422)

    api.add_exception_handler(HTTPException, no_such_call)
    api.add_exception_handler(RequestValidationError, unreadable)
