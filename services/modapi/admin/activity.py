"""The calls about what happens on a server: its players, events, commands, messages, its last hour."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request

from services.modapi.admin import activity_models as models
from services.modapi.admin.context import AdminContext, Context, Row
from services.modapi.admin.problems import ApiError, ErrorCode
from services.modapi.admin.repeats import OUTCOME_UNKNOWN, OnceRoute
from services.modapi.admin.streams import (
    AT_ONCE,
    Messages,
    StreamResponse,
    described,
    entry_message,
    wanted,
)
from services.modapi.admin.views import players_of
from services.modapi.fleet.recent_activity import MOST_WATCHED
from services.modapi.fleet.rows import ServerRow
from services.modapi.fleet.watched_activity import READ, kind_of
from services.relay.instances import messages
from services.relay.instances.activity import ActivityEntry, Cursor
from services.relay.instances.facts import online_players
from services.relay.instances.history import read_half_hours, read_minutes
from services.relay.protocol.errors import NotCarriedOut, StoreError

MAX_ENTRIES = 100

_TOO_MANY_WATCHED = f"{MOST_WATCHED} servers are watched already"

Limit = Annotated[int, Query(ge=1, le=MAX_ENTRIES)]
LastEventId = Annotated[
    str, Header(max_length=500, description="of a stream: the `id` of the last message that was received")
]

EXAMPLE = (
    "id: 9f3a61c0-41\nevent: event\n"
    'data: {"slug": "livonia", "id": "9f3a61c0-41", "type": "chat-message", "state": "delivered", …}\n\n'
)

router = APIRouter(prefix="/servers/{slug}", tags=["activity"], route_class=OnceRoute)


@router.get("/players")
async def list_players(row: Row, context: Context) -> models.PlayerList:
    """List the players who are online, with their last known positions."""
    return models.PlayerList(**players_of(await online_players(context.store, row.slug)))


@router.get("/events", response_model=models.EventList, responses=described(EXAMPLE, "the last ones"))
async def list_events(
    row: Row,
    request: Request,
    context: Context,
    limit: Limit = MAX_ENTRIES,
    last_event_id: LastEventId = "",
) -> models.EventList | StreamResponse:
    """List the last events: those that wait for Takaro, and those that have ended.

    Ended ones are known while somebody looks, at 100 servers at most. The first call may take two seconds.
    With `Accept: text/event-stream` the answer is a stream of messages `event`: the last ones, the oldest
    first, then new ones. With `Last-Event-ID` it goes on behind that message, at any modapi, without a repeat
    or a gap as long as not more than 50 events have ended meanwhile, which is what the relay remembers of a
    server; of more, the oldest are left out.
    """
    if wanted(request):
        return await _stream(context, row, {"event"}, limit, request, last_event_id)
    entries = await _entries(context, row, "event", limit)
    return models.EventList(events=list(map(models.ServerEvent.model_validate, entries)))


@router.get("/commands", response_model=models.CommandList, responses=described(EXAMPLE, "the last ones"))
async def list_commands(
    row: Row,
    request: Request,
    context: Context,
    limit: Limit = MAX_ENTRIES,
    reads: Annotated[
        bool, Query(description="in a stream: also those that only read, as `getPlayers`, from now on")
    ] = False,
    last_event_id: LastEventId = "",
) -> models.CommandList | StreamResponse:
    """List the last commands that change the game: Takaro's, and messages that this relay has sent while
    somebody looked.

    With `Accept: text/event-stream` the answer is a stream, as for events.
    """
    if wanted(request):
        kinds = {"command", READ} if reads else {"command"}
        return await _stream(context, row, kinds, limit, request, last_event_id)
    entries = await _entries(context, row, "command", limit)
    return models.CommandList(commands=list(map(models.ServerCommand.model_validate, entries)))


@router.post("/messages")
async def send_message(slug: str, message: models.NewMessage, context: Context) -> models.ServerCommand:
    """Send a message to everybody on the server, and wait for its outcome: up to ten seconds."""
    messages.check_enabled((await context.fleet.row(slug)).definition)
    most_waiting = context.settings.limits.open_commands
    try:
        sent = await messages.send_message(context.store, slug, message.text.strip(), most_waiting)
    except NotCarriedOut:
        raise
    except StoreError as error:
        raise ApiError(ErrorCode.OUTCOME_UNKNOWN, f"{error}; {OUTCOME_UNKNOWN}") from error
    return models.ServerCommand.model_validate(sent)


@router.get("/minutes")
async def list_minutes(row: Row, context: Context) -> models.MinuteList:
    """Show the last hour, minute by minute."""
    minutes = await read_minutes(context.store, row.slug, row.facts.now_ms)
    return models.MinuteList(minutes=list(map(models.MinuteCounts.model_validate, minutes)))


@router.get("/half-hours")
async def list_half_hours(row: Row, context: Context) -> models.HalfHourList:
    """Show the last 24 hours: the bar of the page."""
    half_hours = await read_half_hours(context.store, row.slug, row.facts.now_ms, row.there_ms)
    return models.HalfHourList(half_hours=list(map(models.HalfHourCounts.model_validate, half_hours)))


async def _entries(context: AdminContext, row: ServerRow, kind: str, limit: int) -> list[ActivityEntry]:
    entries = await context.fleet.recent.known(row.slug, row.facts)
    if entries is None:
        raise ApiError(ErrorCode.TOO_MANY_STREAMS, _TOO_MANY_WATCHED)
    of_kind = [entry for entry in entries if entry.kind == kind]
    return sorted(of_kind, key=lambda entry: entry.at_ms, reverse=True)[:limit]


async def _stream(
    context: AdminContext, row: ServerRow, kinds: set[str], limit: int, request: Request, last_event_id: str
) -> StreamResponse:
    context.streams.check_room()
    cursor = Cursor(last_event_id)
    followed = await context.fleet.recent.follow(row.slug, row.facts, goes_on=bool(cursor))
    if followed is None:
        raise ApiError(ErrorCode.TOO_MANY_STREAMS, _TOO_MANY_WATCHED)

    async def found() -> Messages:
        directory = context.fleet.directory
        most = None if cursor else limit  # of those that are known at the beginning
        async for entries in followed:
            if directory.complete.is_set() and row.slug not in directory.defined:
                return
            of_kind = [entry for entry in entries if kind_of(entry) in kinds]
            last = of_kind[-most:] if most else of_kind
            most = None
            for start in range(0, len(last) or 1, AT_ONCE):
                new = cursor.new(last[start : start + AT_ONCE])
                yield [entry_message(str(cursor), row.slug, entry) for entry in new]

    return StreamResponse(context.streams, request, found())
