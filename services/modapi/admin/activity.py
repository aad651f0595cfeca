"""The calls about what happens on a server: its players, events, commands, messages, its last hour."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request

from services.modapi.admin import activity_models as models
from services.modapi.admin.problems import ApiError, ErrorCode
from services.modapi.admin.repeats import OUTCOME_UNKNOWN, OnceRoute
from services.modapi.admin.streams import (
    AT_ONCE,
    Messages,
    StreamResponse,
    Streams,
    described,
    stream_message,
    wanted,
)
from services.modapi.admin.views import command_of, event_of, players_of, streamed, utc
from services.modapi.fleet.recent_activity import MOST_WATCHED
from services.modapi.fleet.view import FleetView
from services.modapi.fleet.watched_activity import READ, Followed, kind_of
from services.relay.instances.activity import ActivityEntry
from services.relay.instances.cursor import Cursor
from services.relay.instances.half_hours import read_half_hours
from services.relay.instances.messages import check_enabled, send_message
from services.relay.instances.minutes import read_minutes
from services.relay.instances.players import online_players
from services.relay.protocol.errors import NotCarriedOut, StoreError
from services.relay.store.client import Store

MAX_ENTRIES = 100

Limit = Annotated[int, Query(ge=1, le=MAX_ENTRIES)]
LastEventId = Annotated[
    str, Header(max_length=500, description="of a stream: the `id` of the last message that was received")
]

EXAMPLE = (
    "id: 9f3a61c0-41\nevent: event\n"
    'data: {"slug": "livonia", "id": "9f3a61c0-41", "type": "chat-message", "state": "delivered", …}\n\n'
)


class ActivityCalls:
    """The calls. Each raises NoSuchInstance, StoreError. At most `most_waiting` commands may wait."""

    def __init__(self, fleet: FleetView, store: Store, streams: Streams, most_waiting: int) -> None:
        self._fleet = fleet
        self._streams = streams
        self._store = store
        self._most_waiting = most_waiting

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/servers/{slug}", tags=["activity"])
        add = router.add_api_route
        add("/players", self.list_players)
        for path, call, shape in (
            ("/events", self.list_events, models.EventList),
            ("/commands", self.list_commands, models.CommandList),
        ):
            add(path, call, response_model=shape, responses=described(EXAMPLE, "the last ones"))
        add("/messages", self.send_message, methods=["POST"], route_class_override=OnceRoute)
        add("/minutes", self.list_minutes)
        add("/half-hours", self.list_half_hours)
        return router

    async def list_players(self, slug: str) -> models.PlayerList:
        """List the players who are online, with their last known positions."""
        await self._fleet.row(slug)
        return models.PlayerList(**players_of(await online_players(self._store, slug)))

    async def list_events(
        self, slug: str, request: Request, limit: Limit = MAX_ENTRIES, last_event_id: LastEventId = ""
    ) -> models.EventList | StreamResponse:
        """List the last events: those that wait for Takaro, and those that have ended.

        Ended ones are known while somebody looks. The first call may take two seconds. With `Accept:
        text/event-stream` the answer is a stream of messages `event`: the last ones, the oldest first, then
        what comes. With `Last-Event-ID` it goes on behind that message, at any modapi, without a repeat or a
        gap as long as not more than 50 events have ended meanwhile, which is what the relay remembers of a
        server; of more, the oldest are left out.
        """
        if wanted(request):
            return await self._stream(slug, frozenset(("event",)), limit, request, last_event_id)
        entries = await self._entries(slug, "event", limit)
        return models.EventList(events=[event_of(entry) for entry in entries])

    async def list_commands(
        self,
        slug: str,
        request: Request,
        limit: Limit = MAX_ENTRIES,
        reads: Annotated[
            bool, Query(description="in a stream: also those that only read, as `getPlayers`, from now on")
        ] = False,
        last_event_id: LastEventId = "",
    ) -> models.CommandList | StreamResponse:
        """List the last commands that change the game, from Takaro or from this relay.

        With `Accept: text/event-stream` the answer is a stream, as for events.
        """
        if wanted(request):
            kinds = frozenset(("command", READ) if reads else ("command",))
            return await self._stream(slug, kinds, limit, request, last_event_id)
        entries = await self._entries(slug, "command", limit)
        return models.CommandList(commands=[command_of(entry) for entry in entries])

    async def _stream(
        self, slug: str, kinds: frozenset[str], limit: int, request: Request, last_event_id: str
    ) -> StreamResponse:
        self._streams.check_room()
        facts, cursor = (await self._fleet.row(slug)).facts, Cursor(last_event_id)
        followed = await self._fleet.recent.follow(slug, facts, goes_on=bool(cursor))
        if followed is None:
            raise ApiError(ErrorCode.TOO_MANY_STREAMS, f"{MOST_WATCHED} servers are watched already")
        return self._streams.response(request, self._messages(slug, kinds, limit, followed, cursor))

    async def _messages(
        self, slug: str, kinds: frozenset[str], limit: int, followed: Followed, cursor: Cursor
    ) -> Messages:
        directory = self._fleet.directory
        async for entries in followed.entries():
            if directory.complete.is_set() and slug not in directory.entries:
                return
            of_kind = [entry for entry in entries if kind_of(entry) in kinds]
            last = of_kind if cursor else of_kind[-limit:]
            for start in range(0, len(last) or 1, AT_ONCE):
                new = cursor.new(last[start : start + AT_ONCE])
                yield [stream_message(str(cursor), entry.kind, streamed(slug, entry)) for entry in new]

    async def send_message(self, slug: str, message: models.NewMessage) -> models.ServerCommand:
        """Send a message to everybody on the server, and wait for what becomes of it: up to ten seconds."""
        check_enabled((await self._fleet.row(slug)).entry)
        try:
            sent = await send_message(self._store, slug, message.text.strip(), self._most_waiting)
        except NotCarriedOut:
            raise
        except StoreError as error:
            raise ApiError(ErrorCode.OUTCOME_UNKNOWN, f"{error}; {OUTCOME_UNKNOWN}") from error
        return command_of(sent)

    async def _entries(self, slug: str, kind: str, limit: int) -> list[ActivityEntry]:
        row = await self._fleet.row(slug)
        entries = [entry for entry in await self._fleet.recent.known(slug, row.facts) if entry.kind == kind]
        return sorted(entries, key=lambda entry: entry.at_ms, reverse=True)[:limit]

    async def list_minutes(self, slug: str) -> models.MinuteList:
        """Show the last hour, minute by minute."""
        row = await self._fleet.row(slug)
        minutes = await read_minutes(self._store, slug, row.facts.now_ms)
        return models.MinuteList(
            minutes=[models.MinuteCounts(at=utc(one.minute * 60_000), **one._asdict()) for one in minutes]
        )

    async def list_half_hours(self, slug: str) -> models.HalfHourList:
        """Show the last 24 hours: the bar of the page."""
        row = await self._fleet.row(slug)
        half_hours = await read_half_hours(self._store, slug, row.facts.now_ms, row.there_ms)
        return models.HalfHourList(
            half_hours=[models.HalfHourCounts(at=utc(one.begun_ms), **one._asdict()) for one in half_hours]
        )
