"""The calls about servers: list, show, create, change, rotate, enable, disable, delete."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request

from services.modapi.admin import models
from services.modapi.admin.repeats import (
    IdempotencyKey,
    OnceRoute,
    SecretOnceRoute,
    once_of,
)
from services.modapi.admin.views import fits, page_of, server_of
from services.modapi.fleet.rows import ServerCause, ServerRow, State
from services.modapi.fleet.view import READ_AT_ONCE, FleetView
from services.relay.instances.entries import active
from services.relay.instances.mod_config import MOD_CONFIG_PATH, mod_config, mod_url
from services.relay.instances.records import InstanceUpdate
from services.relay.instances.registry import Issued
from services.relay.service.settings import Instance, ModApi
from services.relay.service.settings_warnings import equal_name, guessable

MAX_LIMIT = 1_000


class ServerCalls:
    """The calls."""

    def __init__(self, fleet: FleetView, modapi: ModApi) -> None:
        self._fleet = fleet
        self._registry = fleet.directory.registry
        self._modapi = modapi

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/servers", tags=["servers"])
        add = router.add_api_route
        add("", self.list_servers, methods=["GET"])
        add("", self.create_server, methods=["POST"], status_code=201, route_class_override=SecretOnceRoute)
        add("/{slug}", self.get_server, methods=["GET"])
        add("/{slug}", self.change_server, methods=["PATCH"])
        add("/{slug}", self.delete_server, methods=["DELETE"], status_code=204)
        add("/{slug}/mod-config", self.get_mod_config, methods=["GET"])
        add("/{slug}/rotate", self.rotate_mod_key, methods=["POST"], route_class_override=SecretOnceRoute)
        add("/{slug}/enable", self.enable_server, methods=["POST"], route_class_override=OnceRoute)
        add("/{slug}/disable", self.disable_server, methods=["POST"], route_class_override=OnceRoute)
        return router

    async def list_servers(
        self,
        limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 100,
        cursor: models.PageCursor = "",
        state: Annotated[
            State | ServerCause | None,
            Query(description="only servers with this state or cause"),
        ] = None,
        q: Annotated[str, Query(max_length=100, description="only with this text in slug or name")] = "",
    ) -> models.ServerList:
        """List servers, sorted by slug. What is shown is at most two seconds old."""
        rows = await self._fleet.rows()
        slugs = [slug for slug, row in rows.items() if fits(row, state or "", q)]
        page, next_cursor = page_of(slugs, cursor, limit)
        servers = await _servers_of([rows[slug] for slug in page])
        return models.ServerList(servers=servers, total=len(slugs), next_cursor=next_cursor)

    async def get_server(self, slug: str) -> models.Server:
        """Show one server, as it is now."""
        return server_of(await self._fleet.row(slug))

    async def get_mod_config(self, slug: str, request: Request) -> models.ModConfig:
        """Show what goes into the mod's file."""
        keys = (await self._fleet.row(slug)).entry.instance.mod_keys
        shown = keys if request.state.role is models.Role.FULL else ()
        key = shown[0].get_secret_value() if shown else "<mod key>"
        return models.ModConfig(
            mod_config=mod_config(mod_url(self._modapi), key),
            mod_config_path=MOD_CONFIG_PATH,
            has_key=bool(shown),
        )

    async def create_server(
        self, new: models.NewServer, request: Request, idempotency_key: IdempotencyKey = None
    ) -> models.CreatedServer:
        """Add a server. Running services serve it within two seconds. The answer holds what the mod needs."""
        issued = await self._registry.create(
            new.slug,
            new.name,
            identity_token=new.identity_token,
            registration_token=new.registration_token,
            external_id=new.external_id,
            disabled=new.disabled,
            once=once_of("create", new.slug, new, idempotency_key, request),
        )
        identity = issued.record.identity_token
        added = Instance(slug=new.slug, name=new.name, identity_token=identity)
        rotated = await self._with_key(new.slug, issued, guessable(added))
        return models.CreatedServer(**dict(rotated), identity_token=identity.get_secret_value())

    async def change_server(self, slug: str, change: models.ServerChange) -> models.ChangedServer:
        """Change the fields that are given."""
        token = change.registration_token.get_secret_value() if change.registration_token else None
        if "registration_token" in change.model_fields_set:
            token = token or ""
        external_id = change.external_id
        if "external_id" in change.model_fields_set:
            external_id = external_id or ""
        return await self._changed(slug, InstanceUpdate(change.name, change.disabled, token, external_id))

    async def enable_server(self, slug: str) -> models.ChangedServer:
        """Serve a disabled server again."""
        return await self._changed(slug, InstanceUpdate(disabled=False))

    async def disable_server(self, slug: str) -> models.ChangedServer:
        """Stop serving a server: its keys open nothing, its link is closed, its events are kept."""
        return await self._changed(slug, InstanceUpdate(disabled=True))

    async def delete_server(
        self,
        slug: str,
        purge: Annotated[bool, Query(description="delete its data now, not a day later")] = False,
    ) -> None:
        """Remove a server. Created again with the same identity token within a day, it gets its data back."""
        await self._registry.remove(slug, purge=purge)

    async def rotate_mod_key(
        self,
        slug: str,
        request: Request,
        rotation: models.Rotation | None = None,
        idempotency_key: IdempotencyKey = None,
    ) -> models.RotatedServer:
        """Make a new mod key. The one before works for `overlap_s` more."""
        asked = rotation or models.Rotation()
        once = once_of("rotate", slug, asked, idempotency_key, request)
        issued = await self._registry.rotate(slug, asked.overlap_s, force=asked.force, once=once)
        return await self._with_key(slug, issued)

    async def _changed(self, slug: str, update: InstanceUpdate) -> models.ChangedServer:
        await self._registry.patch(slug, update)
        return await self._shown(slug)

    async def _shown(self, slug: str, *warnings: str) -> models.ChangedServer:
        entries = await self._fleet.directory.current()
        served = [entry.instance for entry in active(entries).values()]
        return models.ChangedServer(
            server=server_of(await self._fleet.row(slug, entries)),
            warnings=[*filter(None, warnings), *equal_name(slug, served)],
        )

    async def _with_key(self, slug: str, issued: Issued, *warnings: str) -> models.RotatedServer:
        return models.RotatedServer(
            **dict(await self._shown(slug, *warnings)),
            mod_key=issued.mod_key,
            mod_config=mod_config(mod_url(self._modapi), issued.mod_key),
            mod_config_path=MOD_CONFIG_PATH,
        )


async def _servers_of(rows: Sequence[ServerRow]) -> list[models.Server]:
    """The servers as the API shows them. 1,000 at once would hold up the loop for 60 ms."""
    servers: list[models.Server] = []
    for start in range(0, len(rows), READ_AT_ONCE):
        servers += map(server_of, rows[start : start + READ_AT_ONCE])
        await asyncio.sleep(0)
    return servers
