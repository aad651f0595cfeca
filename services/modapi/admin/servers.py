"""The calls about servers: list, show, create, change, rotate, enable, disable, delete."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request

from services.modapi.admin import models
from services.modapi.admin.context import AdminContext, Context, Row
from services.modapi.admin.repeats import OnceOf, OnceRoute
from services.modapi.admin.views import fits, page_of, server_of
from services.modapi.fleet.rows import ServerState
from services.modapi.fleet.view import READ_AT_ONCE
from services.relay.instances.definitions import active
from services.relay.instances.facts import ServerCause
from services.relay.instances.mod_config import MOD_CONFIG_PATH, mod_config, mod_url
from services.relay.instances.registry import Issued
from services.relay.protocol.vocabulary import Origin
from services.relay.service.settings import Instance
from services.relay.service.settings_warnings import equal_name, guessable

MAX_LIMIT = 1_000

router = APIRouter(prefix="/servers", tags=["servers"], route_class=OnceRoute)


@router.get("")
async def list_servers(
    context: Context,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 100,
    cursor: models.PageCursor = "",
    state: Annotated[
        ServerState | ServerCause | None,
        Query(description="only servers with this state or cause"),
    ] = None,
    q: Annotated[str, Query(max_length=100, description="only with this text in slug or name")] = "",
) -> models.ServerList:
    """List servers, sorted by slug. What is shown is at most two seconds old."""
    rows = await context.fleet.rows()
    slugs = [slug for slug, row in rows.items() if fits(row, state or "", q)]
    page, next_cursor = page_of(slugs, cursor, limit)
    servers: list[models.Server] = []
    for start in range(0, len(page), READ_AT_ONCE):  # 1,000 at once would hold up the loop for 60 ms
        servers += [server_of(rows[slug]) for slug in page[start : start + READ_AT_ONCE]]
        await asyncio.sleep(0)
    return models.ServerList(servers=servers, total=len(slugs), next_cursor=next_cursor)


@router.post("", status_code=201)
async def create_server(new: models.NewServer, once: OnceOf, context: Context) -> models.CreatedServer:
    """Add a server. Running services serve it within two seconds. The answer holds what the mod needs."""
    issued = await context.registry.create(**dict(new), once=once)
    identity = issued.record.identity_token
    added = Instance(slug=new.slug, name=new.name, identity_token=identity)
    rotated = await _with_key(context, new.slug, issued, guessable(added))
    return models.CreatedServer(**dict(rotated), identity_token=identity.get_secret_value())


@router.get("/{slug}")
async def get_server(row: Row) -> models.Server:
    """Show one server, as it is now."""
    return server_of(row)


@router.patch("/{slug}")
async def change_server(slug: str, change: models.ServerChange, context: Context) -> models.ChangedServer:
    """Change the fields that are given."""
    await context.registry.patch(slug, **change.model_dump(exclude_unset=True))
    return await _shown(context, slug)


@router.delete("/{slug}", status_code=204)
async def delete_server(
    slug: str,
    context: Context,
    purge: Annotated[bool, Query(description="delete its data now, not a day later")] = False,
) -> None:
    """Remove a server. Created again with the same identity token within a day, it gets its data back."""
    await context.registry.remove(slug, purge=purge)


@router.get("/{slug}/mod-config")
async def get_mod_config(row: Row, request: Request, context: Context) -> models.ModConfig:
    """Show what goes into the mod's file."""
    keys = row.definition.instance.mod_keys
    shown = keys if request.state.role is models.Role.FULL else ()
    needs_key = keys or row.definition.origin is Origin.REDIS
    key = shown[0].get_secret_value() if shown else "<mod key>" if needs_key else ""
    return models.ModConfig(
        mod_config=mod_config(mod_url(context.settings.modapi), key),
        mod_config_path=MOD_CONFIG_PATH,
        has_key=bool(shown),
    )


@router.post("/{slug}/rotate")
async def rotate_mod_key(
    slug: str, once: OnceOf, context: Context, rotation: models.Rotation | None = None
) -> models.RotatedServer:
    """Make a new mod key. The one before works for `overlap_s` more."""
    asked = rotation or models.Rotation()
    issued = await context.registry.rotate(slug, asked.overlap_s, force=asked.force, once=once)
    return await _with_key(context, slug, issued)


@router.post("/{slug}/enable")
async def enable_server(slug: str, context: Context) -> models.ChangedServer:
    """Serve a disabled server again."""
    await context.registry.patch(slug, disabled=False)
    return await _shown(context, slug)


@router.post("/{slug}/disable")
async def disable_server(slug: str, context: Context) -> models.ChangedServer:
    """Stop serving a server: its keys open nothing, its link is closed, its events are kept."""
    await context.registry.patch(slug, disabled=True)
    return await _shown(context, slug)


async def _shown(context: AdminContext, slug: str, *warnings: str) -> models.ChangedServer:
    defined = await context.fleet.directory.current()
    served = [definition.instance for definition in active(defined).values()]
    return models.ChangedServer(
        server=server_of(await context.fleet.row(slug, defined)),
        warnings=[*filter(None, warnings), *equal_name(slug, served)],
    )


async def _with_key(context: AdminContext, slug: str, issued: Issued, *warnings: str) -> models.RotatedServer:
    return models.RotatedServer(
        **dict(await _shown(context, slug, *warnings)),
        mod_key=issued.mod_key,
        mod_config=mod_config(mod_url(context.settings.modapi), issued.mod_key),
        mod_config_path=MOD_CONFIG_PATH,
    )
