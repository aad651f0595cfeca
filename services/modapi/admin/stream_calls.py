"""The stream of all servers."""

import asyncio
import contextlib
import re
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Header, Query, Request

from services.modapi.admin.context import Context
from services.modapi.admin.problems import ApiError, ErrorCode
from services.modapi.admin.streams import (
    AT_ONCE,
    Messages,
    StreamResponse,
    described,
    entry_message,
    stream_message,
)
from services.modapi.admin.views import server_of
from services.modapi.fleet.recent_activity import MOST_WATCHED
from services.modapi.fleet.view import FRESH_S, FleetView
from services.modapi.fleet.watched_activity import kind_of
from services.relay.protocol.errors import StoreError

EXAMPLE = (
    'id: 5f0c1d2e-17-0\nevent: server\ndata: {"slug": "livonia", "state": "up", …}\n\n'
    'id: 5f0c1d2e-18-0\nevent: removed\ndata: {"slug": "chernarus"}\n\n'
)

_KINDS = "server|event|command|read"
_NUMBERS = re.compile(r"(\d{1,18})-(\d{1,18})", re.ASCII)
_UNKNOWN = "0"  # an id that no process knows: a reader that sends it gets everything anew

router = APIRouter(tags=["fleet"])


@router.get(
    "/stream",
    status_code=200,
    response_class=StreamResponse,
    responses=described(EXAMPLE, "messages `server`, `removed`, `event`, `command` and `reset`"),
)
async def stream_changes(
    request: Request,
    context: Context,
    kinds: Annotated[
        str,
        Query(
            pattern=f"^({_KINDS})(,({_KINDS}))*$",
            description=(
                "what to tell of: some of `server`, `event`, `command`, `read` (commands that change"
                " nothing, as messages `command`), separated by commas"
            ),
        ),
    ] = "server",
    last_event_id: Annotated[
        str, Header(max_length=100, description="the `id` of the last message that was received")
    ] = "",
) -> StreamResponse:
    """Stream changes as server-sent events, until the caller hangs up.

    `server` has a Server in which anything but a clock has changed, `removed` the slug of one that is
    gone; `event` and `command` have those of all servers, with their slug, from the last ones on. A
    comment comes at least each 15 s. With `Last-Event-ID` the stream goes on behind that message. If this
    modapi does not know it, because it was started again or too much has happened since, it first sends
    `reset`: forget what you know, every server follows, and the last events and commands. `0` asks for
    that from the beginning.
    """
    context.streams.check_room()
    fleet, shown = context.fleet, set(kinds.split(","))
    if shown != {"server"} and not fleet.activity.use():
        raise ApiError(
            ErrorCode.TOO_MANY_STREAMS,
            f"events and commands of more than {MOST_WATCHED} servers cannot be followed at once: use"
            " /servers/{slug}/events of some",
        )
    await fleet.find_changes()
    stream = _FleetStream(fleet, context.streams.process, shown)
    return StreamResponse(context.streams, request, stream.messages(last_event_id))


class _Place(NamedTuple):
    """How far a reader has come: the last change of a server, and the last event or command."""

    change: int
    entry: int


class _FleetStream:
    """The stream of one reader. It shares one read of the fleet each second with all others.

    `run` stands in the ids of messages: their numbers are those of this process.
    """

    def __init__(self, fleet: FleetView, run: str, kinds: set[str]) -> None:
        self._fleet = fleet
        self._activity = fleet.activity.journal
        self._run = run
        self._has_servers = "server" in kinds
        self._kinds = kinds - {"server"}  # kinds of events and commands

    async def messages(self, last_event_id: str) -> Messages:
        place = self._place_of(last_event_id) if last_event_id else self._beginning()
        found = self._behind(place) if place else None
        if found is None:
            place = self._beginning()
            async for some in self._all_anew(place):
                yield some
            found = self._behind(place)
        while found and not self._activity.is_closed:
            place, some = found
            yield some
            if len(some) < AT_ONCE:
                await self._activity.news(place.entry, FRESH_S)
            if self._kinds:
                self._fleet.activity.use()
            with contextlib.suppress(StoreError):
                await self._fleet.find_changes()
            found = self._behind(place)  # None: the reader is too slow

    def _behind(self, place: _Place) -> tuple[_Place, list[bytes]] | None:
        """Messages about all changes behind that place, up to AT_ONCE, and the place behind them.

        None: a part of them is forgotten.
        """
        changed = self._fleet.changes.since(place.change) if self._has_servers else []
        entries = self._activity.since(place.entry) if self._kinds else []
        if changed is None or entries is None:
            return None
        messages: list[bytes] = []
        for number, slug in changed[:AT_ONCE]:
            place = place._replace(change=number)
            messages += self._server(self._id(place), slug)
        for slug, entry in entries[: AT_ONCE - len(messages)]:
            place = place._replace(entry=place.entry + 1)
            if kind_of(entry) in self._kinds:
                messages.append(entry_message(self._id(place), slug, entry))
        if not entries:
            place = place._replace(entry=self._activity.number)
        return place, messages

    async def _all_anew(self, place: _Place) -> Messages:
        """`reset` and every server. Only the last message has an id that is known when it comes back."""
        yield [stream_message(_UNKNOWN, "reset", {})]
        slugs = list(self._fleet.last.rows) if self._has_servers else []
        for count, slug in enumerate(slugs, 1):
            yield self._server(_UNKNOWN if count < len(slugs) else self._id(place), slug)
            await asyncio.sleep(0)

    def _server(self, id: str, slug: str) -> list[bytes]:
        """The message about one server; none if it could not be read."""
        if row := self._fleet.last.rows.get(slug):
            return [stream_message(id, "server", server_of(row).model_dump(mode="json"))]
        if slug in self._fleet.directory.defined:
            return []
        return [stream_message(id, "removed", {"slug": slug})]

    def _beginning(self) -> _Place:
        """The place of a new reader: no change is behind it, and all events and commands that are known."""
        return _Place(self._fleet.changes.number, self._activity.oldest)

    def _id(self, place: _Place) -> str:
        return f"{self._run}-{place.change}-{place.entry}"

    def _place_of(self, id: str) -> _Place | None:
        """The place with this id; None: it is from another process."""
        run, _, numbers = id.partition("-")
        if run != self._run or not (parts := _NUMBERS.fullmatch(numbers)):
            return None
        return _Place(int(parts[1]), int(parts[2]))
