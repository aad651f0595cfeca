"""The objects that the calls of the admin API and the forms of the page work with."""

import asyncio
from typing import Annotated, Any

from fastapi import Depends, Request

from services.modapi.admin.streams import Streams
from services.modapi.admin.tokens import AdminTokens
from services.modapi.fleet.rows import ServerRow
from services.modapi.fleet.view import FleetView
from services.modapi.metrics import ModapiMetrics
from services.relay.instances.directory import Directory
from services.relay.service.settings import Settings
from services.relay.store.client import Store


class AdminContext:
    """The parts behind the admin port. `local_token` is that of `dayz-relay up`."""

    def __init__(
        self,
        directory: Directory,
        store: Store,
        settings: Settings,
        metrics: ModapiMetrics,
        local_token: str = "",
    ) -> None:
        self.store = store
        self.settings = settings
        self.metrics = metrics
        self.registry = directory.registry
        self.fleet = FleetView(directory, store, settings.modapi, metrics.service.faults)
        self.tokens = AdminTokens(store, settings.modapi.admin_token, local_token)
        self.streams = Streams(self.tokens, metrics)
        self.forgetting: set[asyncio.Task[Any]] = set()  # calls that are noted in Redis and not carried out


async def _context(request: Request) -> AdminContext:
    context: AdminContext = request.app.state.context
    return context


Context = Annotated[AdminContext, Depends(_context)]


async def _row(slug: str, context: Context) -> ServerRow:
    return await context.fleet.row(slug)


Row = Annotated[ServerRow, Depends(_row)]
"""The server that the path names. The call is not carried out (NoSuchInstance) if there is none."""
