"""The pages that readers see: all servers, one server, and the form that adds one."""

from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.modapi.admin.context import AdminContext
from services.modapi.fleet.rows import ServerRow
from services.modapi.page import fleet, rendering, server
from services.modapi.page.access import Reader
from services.modapi.page.fleet import View
from services.modapi.page.live import LivePages, before_of
from services.modapi.page.rendering import page
from services.modapi.page.words import counted


class Pages:
    """Shows the fleet and each server."""

    def __init__(self, context: AdminContext, live: LivePages) -> None:
        self._context = context
        self._live = live

    async def fleet(self, request: Request, reader: Reader) -> Response:
        view = View.of(request.query_params)
        rows, fragments = await self._live.fleet(view)
        if not rows and not await self._context.fleet.directory.current():
            return await self.add_form(request, reader, first=True)
        return page(
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

    async def server(
        self, request: Request, reader: Reader, slug: str = "", status: int = 200, **outcome: str
    ) -> Response:
        """The page of one server; after a form with its outcome: `config`, `notice`, `problem`."""
        row = await self._context.fleet.row(slug or request.path_params["slug"])
        before = before_of(request)
        shown = {"config": "", "problem": "", "notice": server.notice(request.query_params), **outcome}
        return page(
            "server",
            row.entry.instance.name,
            await self._live.server(row, reader.form_key, before),
            reader,
            status,
            live=f"/instance/{row.slug}/live" + (f"?before={before}" if before else ""),
            slug=row.slug,
            row=row,
            modapi=self._context.settings.modapi,
            retried=server.retried(request.query_params),
            about=self._about((await self._context.fleet.rows()).values()),
            **shown,
        )

    async def add_form(self, request: Request, reader: Reader, status: int = 200, **values: Any) -> Response:
        """The form that adds a server; after a refusal with its `problem` and the `fields` that were sent."""
        fields = {"name": "", "slug": "", "registration_token": ""}
        shown = {"first": False, "problem": "", "fields": fields, **values}
        fragments = {"notes": self._live.notes()}
        return page("add", "Add a server", fragments, reader, status, **shown)

    def _about(self, rows: Iterable[ServerRow]) -> dict[str, str]:
        """What the relay runs on, for the footer."""
        uplinks = counted(len({row.facts.uplink for row in rows} - {""}), "uplink")
        store = self._context.store.facts.summary()
        return {"version": rendering.VERSION, "uplinks": uplinks, "store": store}
