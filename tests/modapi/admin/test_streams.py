"""Streams of the admin API: what they tell, from where they go on, and when they end."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from operator import not_
from unittest.mock import AsyncMock, Mock

import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.modapi.admin.streams import MOST_STREAMS, StreamResponse, Streams
from services.modapi.admin.tokens import AdminTokens
from services.modapi.fleet.recent_activity import FleetActivity, RecentActivity
from services.modapi.metrics import ModapiMetrics
from services.relay.instances.accepted import SETTLED_MS
from services.relay.instances.activity import KEPT_RUNS
from services.relay.instances.facts import facts_of
from services.relay.instances.messages import send_message
from services.relay.protocol.command_states import new_operation_id
from services.relay.protocol.keys import keys_of
from services.relay.protocol.records import Command, GameEvent, Outcome
from services.relay.protocol.vocabulary import Action
from services.relay.service.http.listener import Listener
from services.relay.service.lifecycle import cancelled
from services.relay.store.client import Store
from services.relay.store.event_stream import EventStream
from services.relay.store.leases import Lease
from services.relay.store.repeats import digest
from services.relay.store.stream_entries import EventBatch, PostedEvent
from services.uplink.events.receipts import EndedEvents
from services.uplink.reporting.activity_log import ActivityLog
from tests.modapi.admin.conftest import FILE, TOKEN, client
from tests.support.sse import AppClient, Sent, Stream
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("watched")

BEARER = f"Bearer {TOKEN}"
EVENTS = f"/api/v1/servers/{FILE.slug}/events"


def told(sent: Iterable[Sent]) -> list[tuple[str, str]]:
    return [(one.name, one.data["slug"]) for one in sent if one.data]


class OwningUplink:
    """An uplink that owns the server, and renews its lease as often as one does."""

    def __init__(self, store: Store) -> None:
        self.activity = ActivityLog(store, FILE.slug)
        self.lease = Lease(store, FILE.slug, "uplink-1")
        self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            renewal = await self.lease.renew()
            self.activity.renewed(renewal.now_ms, renewal.watched)
            await asyncio.sleep(0.05)

    def deliver(self, *texts: str) -> None:
        events: list[GameEvent] = [{"type": "log", "data": {"msg": text}} for text in texts]
        self.activity.events_ended(EndedEvents(tuple(events)))

    def answer(self, action: Action, outcome: Outcome) -> None:
        """The mod has answered a command."""
        self.activity.command_ended(
            Command(new_operation_id(action), action, {"gameId": "1"}), outcome, 0.005
        )

    async def stop(self) -> None:
        await cancelled(self._running)
        await self.lease.release()


@pytest.fixture
async def owner(store: Store, api: AppClient) -> AsyncIterator[OwningUplink]:
    made = OwningUplink(store)
    yield made
    await made.stop()


def texts(sent: Iterable[Sent]) -> list[str]:
    return [one.data["data"]["msg"] for one in sent if one.name == "event"]


async def test_a_stream_tells_of_servers_that_are_added_changed_and_removed_and_goes_on_later(
    api: AppClient,
) -> None:
    stream = Stream(api.app, "/api/v1/stream", authorization=BEARER)
    await stream.begun()
    await api.post("/api/v1/servers", json={"slug": "one", "name": "Server one"})
    [added] = await stream.until(bool)
    assert (added.name, added.data["slug"], added.data["state"]) == ("server", "one", "down")
    await stream.hang_up()

    await api.patch("/api/v1/servers/one", json={"name": "Renamed"})
    later = Stream(api.app, "/api/v1/stream", authorization=BEARER, last_event_id=added.id)
    assert (await later.until(bool))[0].data["name"] == "Renamed"
    await api.delete("/api/v1/servers/one")
    await later.until(lambda sent: sent[-1].name == "removed")
    assert told(later.sent) == [("server", "one"), ("removed", "one")]
    assert len({one.id for one in [added, *later.sent]}) == 3
    await later.hang_up()


@pytest.mark.parametrize("id", ["0", "0000aaaa-7-7", "no id"])
async def test_a_stream_with_a_foreign_last_id_begins_with_every_server(api: AppClient, id: str) -> None:
    stream = Stream(api.app, "/api/v1/stream", authorization=BEARER, last_event_id=id)
    sent = await stream.until(lambda sent: len(sent) == 2)
    assert [one.name for one in sent] == ["reset", "server"] and told(sent) == [("server", FILE.slug)]
    await stream.hang_up()
    again = Stream(api.app, "/api/v1/stream", authorization=BEARER, last_event_id=sent[1].id)
    await again.begun()
    await again.hang_up()
    assert again.sent == []


async def test_events_come_from_the_last_ones_on_and_go_on_at_another_modapi_without_repeat_or_gap(
    api: AppClient, owner: OwningUplink, store: Store
) -> None:
    owner.deliver("a", "b", "c")
    stream = Stream(api.app, f"{EVENTS}?limit=2", authorization=BEARER)
    assert texts(await stream.until(lambda sent: len(sent) == 2)) == ["b", "c"]
    owner.deliver("d")
    sent = await stream.until(lambda sent: len(sent) == 3)
    assert sent[-1].data["slug"] == FILE.slug and sent[-1].data["state"] == "delivered"
    await stream.hang_up()

    owner.deliver("e", "f")
    other, _ = client(store, TOKEN)
    async with other:
        later = Stream(other.app, EVENTS, authorization=BEARER, last_event_id=sent[1].id)
        assert texts(await later.until(lambda sent: len(sent) == 3)) == ["d", "e", "f"]
        owner.deliver("g")
        assert texts(await later.until(lambda sent: len(sent) == 4))[-1] == "g"
        listed = (await other.get(EVENTS)).json()["events"]
        assert {one.data["id"] for one in later.sent} < {event["id"] for event in listed}
        await later.hang_up()


async def test_a_burst_that_is_larger_than_what_an_owner_remembers_has_no_gap(
    api: AppClient, owner: OwningUplink
) -> None:
    owner.deliver("first")
    stream = Stream(api.app, EVENTS, authorization=BEARER)
    [first] = await stream.until(bool)
    await stream.hang_up()
    owner.deliver(*map(str, range(300)))
    later = Stream(api.app, EVENTS, authorization=BEARER, last_event_id=first.id)
    assert texts(await later.until(lambda sent: len(sent) >= 200))[:200] == list(map(str, range(200)))
    await later.hang_up()
    again = Stream(api.app, EVENTS, authorization=BEARER, last_event_id=later.sent[199].id)
    assert texts(await again.until(lambda sent: len(sent) == 100)) == list(map(str, range(200, 300)))
    await again.hang_up()


async def test_the_limit_of_a_stream_is_for_what_was_known_at_its_beginning(
    api: AppClient, owner: OwningUplink
) -> None:
    stream = Stream(api.app, f"{EVENTS}?limit=1", authorization=BEARER)
    await stream.begun()
    owner.deliver("a", "b", "c")
    assert texts(await stream.until(lambda sent: "c" in texts(sent))) == ["a", "b", "c"]
    await stream.hang_up()


async def test_a_dead_letter_shows_at_once(api: AppClient, store: Store) -> None:
    stream = Stream(api.app, EVENTS, authorization=BEARER)
    await stream.begun()
    fields = ("reason", "unknown-type", "detail", "why", "raw", b'{"type": "dance"}')
    id = await store.send("XADD", keys_of(FILE.slug).dead, "*", *fields)
    [dead] = await stream.until(bool)
    assert (dead.data["state"], dead.data["type"], dead.data["detail"]) == ("dead", "dance", "unknown-type")
    await stream.hang_up()
    again = Stream(api.app, EVENTS, authorization=BEARER, last_event_id=dead.id)
    await again.begun()
    await again.hang_up()
    assert again.sent == [] and id.decode() in dead.id


async def test_a_stream_begins_without_events_that_a_linked_server_has_just_accepted(
    api: AppClient, owner: OwningUplink, store: Store
) -> None:
    """It is not known yet whether Takaro has them: what tells of it comes a moment later."""
    keys = keys_of(FILE.slug)
    await store.send("HSET", keys.link, "state", "ready")
    await until(lambda: facts_of(store, FILE.slug), met=lambda facts: facts.uplink)
    owner.deliver("before")
    events = EventStream(store, FILE.slug)
    posted = PostedEvent(digest(b"1"), {"type": "log", "data": {"msg": "young"}})
    begun_us = await store.read_clock(keys.events)
    await events.append(EventBatch([posted]))
    stream = Stream(api.app, EVENTS, authorization=BEARER)
    sent = await stream.until(lambda sent: "young" in texts(sent))
    assert await store.read_clock(keys.events) - begun_us >= SETTLED_MS * 1000
    assert [one.data["state"] for one in sent] == ["delivered", "waiting"]
    await stream.hang_up()


async def test_events_and_commands_of_all_servers_come_in_one_stream(
    api: AppClient, owner: OwningUplink
) -> None:
    owner.deliver("a")
    path = "/api/v1/stream?kinds=event,command"
    stream = Stream(api.app, path, authorization=BEARER)
    await stream.until(bool)
    owner.answer(Action.KICK_PLAYER, Outcome(error="no"))
    event, command = await stream.until(lambda sent: len(sent) == 2)
    assert texts([event]) == ["a"] and (command.name, command.data["slug"]) == ("command", FILE.slug)
    await stream.hang_up()
    owner.deliver("b")
    later = Stream(api.app, path, authorization=BEARER, last_event_id=event.id)
    assert [one.name for one in await later.until(lambda sent: len(sent) == 2)] == ["command", "event"]
    await later.hang_up()


async def test_commands_that_only_read_are_shown_on_request(api: AppClient, owner: OwningUplink) -> None:
    commands = f"/api/v1/servers/{FILE.slug}/commands"
    paths = (commands, f"{commands}?reads=true", "/api/v1/stream?kinds=command,read")
    streams = [Stream(api.app, path, authorization=BEARER) for path in paths]
    owner.answer(Action.KICK_PLAYER, Outcome())
    for stream in streams:
        await stream.until(bool)
    owner.answer(Action.GET_PLAYERS, Outcome([]))
    owner.answer(Action.BAN_PLAYER, Outcome())
    came = []
    for stream in streams:
        sent = await stream.until(lambda sent: sent[-1].data["action"] == "banPlayer")
        came.append([one.data["action"] for one in sent])
        await stream.hang_up()
    assert came == [["kickPlayer", "banPlayer"], *2 * [["kickPlayer", "getPlayers", "banPlayer"]]]


async def test_many_messages_of_the_relay_make_a_stream_repeat_nothing(
    api: AppClient, owner: OwningUplink, store: Store
) -> None:
    commands = f"/api/v1/servers/{FILE.slug}/commands"
    stream = Stream(api.app, commands, authorization=BEARER)
    owner.answer(Action.KICK_PLAYER, Outcome())
    await stream.until(bool)
    for _ in range(KEPT_RUNS + 1):
        await send_message(store, FILE.slug, "Restart in a moment", most_waiting=0)
    sent = await stream.until(lambda sent: len(sent) == KEPT_RUNS + 2)
    await stream.hang_up()
    owner.answer(Action.BAN_PLAYER, Outcome())
    again = Stream(api.app, commands, authorization=BEARER, last_event_id=sent[-1].id)
    assert [one.data["action"] for one in await again.until(bool)] == ["banPlayer"]
    await again.hang_up()


async def test_a_token_that_may_only_read_may_follow_until_it_is_deleted(api: AppClient) -> None:
    made = await api.post("/api/v1/tokens", json={"name": "viewer", "role": "read"})
    stream = Stream(api.app, "/api/v1/stream", authorization=f"Bearer {made.json()['token']}")
    await stream.begun()
    assert stream.head["status"] == 200
    await api.delete("/api/v1/tokens/viewer")
    await stream.ended()


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/v1/servers/nobody/events", 404, "server_not_found"),
        ("/api/v1/stream?kinds=what", 422, "invalid"),
    ],
)
async def test_a_stream_that_cannot_be_followed_is_refused(
    api: AppClient, path: str, status: int, code: str
) -> None:
    answer = await api.get(path, headers={"accept": "text/event-stream"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_streams_beyond_the_limit_are_refused_and_nothing_is_followed_for_them(
    api: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    use, follow = Mock(return_value=True), AsyncMock(return_value=None)
    monkeypatch.setattr(FleetActivity, "use", use)
    monkeypatch.setattr(RecentActivity, "follow", follow)
    streams = [Stream(api.app, "/api/v1/stream", authorization=BEARER) for _ in range(MOST_STREAMS)]
    for stream in streams:
        await stream.begun()
    for path in ("/api/v1/stream", "/api/v1/stream?kinds=event", EVENTS):
        answer = await api.get(path, headers={"accept": "text/event-stream"})
        assert (answer.status_code, answer.json()["code"]) == (503, "too_many_streams")
    assert not use.called and not follow.called
    for stream in streams:
        await stream.hang_up()
    one = Stream(api.app, "/api/v1/stream", authorization=BEARER)
    await one.begun()
    assert one.head["status"] == 200
    await one.hang_up()


@pytest.mark.parametrize("of_page", [False, True])
async def test_a_reader_that_does_not_read_is_cut_off(store: Store, of_page: bool) -> None:
    registry = CollectorRegistry()
    metrics = ModapiMetrics(registry)
    streams = Streams(None if of_page else AdminTokens(store, None, TOKEN), metrics, read_within_s=0.2)

    async def endless() -> AsyncGenerator[list[bytes], None]:
        while True:
            yield [b"x" * 100_000]

    async def call(request: Request) -> Response:
        request.state.token = TOKEN
        return StreamResponse(streams, request, endless())

    with socket.create_server(("127.0.0.1", 0)) as sock:
        listening = asyncio.create_task(Listener(Starlette(routes=[Route("/", call)])).listen(sock))
        reader, writer = await asyncio.open_connection(*sock.getsockname(), limit=1_000)
        writer.write(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
        await until(lambda: registry.get_sample_value("dayz_relay_api_streams_cut_off_total"))
        await until(lambda: registry.get_sample_value("dayz_relay_api_streams"), met=not_)
        writer.close()
        await cancelled(listening)
