"""The stream of all servers."""

import asyncio
import contextlib
import re
import secrets
from enum import StrEnum, unique
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel

from services.modapi.admin.problems import ApiError, ErrorCode
from services.modapi.admin.streams import (
    AT_ONCE,
    Messages,
    StreamResponse,
    Streams,
    described,
    stream_message,
)
from services.modapi.admin.views import server_of, streamed
from services.modapi.fleet.recent_activity import MOST_WATCHED
from services.modapi.fleet.view import FRESH_S, FleetView
from services.modapi.fleet.watched_activity import kind_of
from services.relay.protocol.errors import StoreError

EXAMPLE = (
    'id: 5f0c1d2e-17-0\nevent: server\ndata: {"slug": "livonia", "state": "up", …}\n\n'
    'id: 5f0c1d2e-18-0\nevent: removed\ndata: {"slug": "chernarus"}\n\n'
)


@unique
class StreamKind(StrEnum):
    """What a stream tells of."""

    SERVER = "server"
    EVENT = "event"
    COMMAND = "command"  # those that change the game
    READ = "read"  # the others


_KINDS = "|".join(StreamKind)
_NUMBERS = re.compile(r"(\d{1,18})-(\d{1,18})", re.ASCII)
_UNKNOWN = "0"
"""An id that no process knows: whoever comes back with it gets everything anew."""


class RemovedServer(BaseModel):
    """A server that is there no more."""

    slug: str


class Nothing(BaseModel):
    """Data of a message that says it all by its name."""


class _Place(NamedTuple):
    """How far a reader has come: the last change of a server, and the last event or command."""

    change: int
    entry: int


class StreamCalls:
    """The call. It shares one look at the fleet each second with all other readers."""

    def __init__(self, fleet: FleetView, streams: Streams) -> None:
        self._fleet = fleet
        self._streams = streams
        self._run = secrets.token_hex(4)  # the numbers are those of this process

    def router(self) -> APIRouter:
        router = APIRouter(tags=["fleet"])
        meaning = "messages `server`, `removed`, `event`, `command` and `reset`"
        router.add_api_route(
            "/stream",
            self.stream_changes,
            status_code=200,
            response_class=StreamResponse,
            responses=described(EXAMPLE, meaning),
        )
        return router

    async def stream_changes(
        self,
        request: Request,
        kinds: Annotated[
            str,
            Query(
                pattern=f"^({_KINDS})(,({_KINDS}))*$",
                description=(
                    "what to tell of: some of `server`, `event`, `command`, `read` (commands that change"
                    " nothing, as messages `command`), separated by commas"
                ),
            ),
        ] = StreamKind.SERVER,
        last_event_id: Annotated[
            str, Header(max_length=100, description="the `id` of the last message that was received")
        ] = "",
    ) -> StreamResponse:
        """Tell what changes, as server-sent events, until the caller hangs up.

        `server` has a Server in which anything but a clock has changed, `removed` the slug of one that is
        gone; `event` and `command` have those of all servers, with their slug, from the last ones on. A
        comment comes at least each 15 s. With `Last-Event-ID` the stream goes on behind that message. If this
        modapi does not know it, because it was started again or too much has happened since, it first sends
        `reset`: forget what you know, every server follows, and the last events and commands. `0` asks for
        that from the beginning.
        """
        self._streams.check_room()
        chosen = frozenset(StreamKind(kind) for kind in kinds.split(","))
        if chosen - {StreamKind.SERVER} and not self._fleet.activity.use():
            raise ApiError(
                ErrorCode.TOO_MANY_STREAMS,
                f"events and commands of more than {MOST_WATCHED} servers cannot be followed at once: use"
                " /servers/{slug}/events of some",
            )
        await self._look()
        place = self._place_of(last_event_id) if last_event_id else self._beginning()
        return self._streams.response(request, self._messages(chosen, place))

    async def _look(self) -> None:
        """Raises StoreError."""
        self._fleet.changes.look(await self._fleet.rows(), self._fleet.directory.entries)

    async def _messages(self, kinds: frozenset[StreamKind], place: _Place | None) -> Messages:
        found = self._behind(place, kinds) if place else None
        if found is None:
            place = self._beginning()
            async for some in self._all_anew(kinds, place):
                yield some
            found = self._behind(place, kinds)
        journal = self._fleet.activity.journal
        while found and not journal.is_closed:
            place, some = found
            yield some
            if len(some) < AT_ONCE:
                await journal.news(place.entry, FRESH_S)
            if kinds - {StreamKind.SERVER}:
                self._fleet.activity.use()
            with contextlib.suppress(StoreError):
                await self._look()
            found = self._behind(place, kinds)  # None: the reader is too slow

    def _behind(self, place: _Place, kinds: frozenset[StreamKind]) -> tuple[_Place, list[bytes]] | None:
        """Messages about what has come behind that place, up to AT_ONCE, and the place behind them.

        None: some of it is not known any more.
        """
        activity = self._fleet.activity.journal
        changed = self._fleet.changes.since(place.change) if StreamKind.SERVER in kinds else []
        entries = activity.since(place.entry) if kinds - {StreamKind.SERVER} else []
        if changed is None or entries is None:
            return None
        messages: list[bytes] = []
        for number, slug in changed[:AT_ONCE]:
            place = place._replace(change=number)
            messages += self._server(self._id(place), slug)
        for slug, entry in entries[: AT_ONCE - len(messages)]:
            place = place._replace(entry=place.entry + 1)
            if kind_of(entry) in kinds:
                messages.append(stream_message(self._id(place), entry.kind, streamed(slug, entry)))
        if not entries:
            place = place._replace(entry=activity.number)
        return place, messages

    async def _all_anew(self, kinds: frozenset[StreamKind], place: _Place) -> Messages:
        """`reset` and every server. Only the last message has an id that is known when it comes back."""
        yield [stream_message(_UNKNOWN, "reset", Nothing())]
        slugs = list(self._fleet.rows_now) if StreamKind.SERVER in kinds else []
        for count, slug in enumerate(slugs, 1):
            yield self._server(_UNKNOWN if count < len(slugs) else self._id(place), slug)
            await asyncio.sleep(0)

    def _server(self, id: str, slug: str) -> list[bytes]:
        """The message about one server; none if it could not be read."""
        if row := self._fleet.rows_now.get(slug):
            return [stream_message(id, StreamKind.SERVER, server_of(row))]
        if slug in self._fleet.directory.entries:
            return []
        return [stream_message(id, "removed", RemovedServer(slug=slug))]

    def _beginning(self) -> _Place:
        """The place of a new reader: no change is behind it, and all events and commands that are known."""
        return _Place(self._fleet.changes.number, self._fleet.activity.journal.oldest)

    def _id(self, place: _Place) -> str:
        return f"{self._run}-{place.change}-{place.entry}"

    def _place_of(self, id: str) -> _Place | None:
        """The place with this id; None: it is none of this process."""
        run, _, numbers = id.partition("-")
        if run != self._run or not (parts := _NUMBERS.fullmatch(numbers)):
            return None
        return _Place(int(parts[1]), int(parts[2]))
