"""The simulated mod's HTTP calls to a small server whose answers each test sets."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from services.sim.dayz.generations import Generation
from services.sim.dayz.http import CallFailure, HttpClient, RequestFailed
from services.sim.dayz.server import SimModConfig
from services.sim.dayz.world import make_player
from tests.support.certificates import make_certificate
from tests.support.watched_dayz import WatchedDayz

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
ANNA, BEN = make_player(1, "Anna"), make_player(2, "Ben")


@dataclass
class SeenRequest:
    method: str
    target: str
    head: str
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


def reply(body: Any, status: str = "200 OK") -> bytes:
    data = orjson.dumps(body)
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


@dataclass
class AnsweringRelay:
    """Answers each request with what `answer` returns. None leaves the request without an answer."""

    answer: Callable[[SeenRequest], bytes | None] = lambda request: OK
    answers_continue: bool = True
    url: str = ""
    requests: list[SeenRequest] = field(default_factory=list)

    def to(self, ending: str) -> list[SeenRequest]:
        return [request for request in self.requests if request.target.endswith(ending)]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            if "100-continue" in head and self.answers_continue:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            length = re.search(r"Content-Length: (\d+)", head)
            body = await reader.readexactly(int(length[1])) if length else b""
            method, target, _ = head.split(" ", 2)
            request = SeenRequest(method, target, head, body)
            self.requests.append(request)
            answer = self.answer(request)
            if answer is None:
                await reader.read()  # until the client gives up
            else:
                writer.write(answer)
                await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def relay() -> AsyncIterator[AnsweringRelay]:
    relay = AnsweringRelay()
    server = await asyncio.start_server(relay.handle, "127.0.0.1", 0)
    relay.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/k/secret"
    yield relay
    server.close()


@asynccontextmanager
async def running(
    relay: AnsweringRelay, generation: Generation = Generation.SCANNER, total_s: float = 10.0, **options: str
) -> AsyncIterator[WatchedDayz]:
    registered = {"identity_token": "identity", "game_server_id": "local"}
    config = SimModConfig(relay.url, **(registered | options), flush_s=0.01, poll_s=0.02)
    server = WatchedDayz(config, generation)
    server.http.total_s = total_s
    task = asyncio.create_task(server.run())
    yield server
    server.stop()
    await task


def polled(*operations: tuple[str, str, str]) -> Callable[[SeenRequest], bytes]:
    """Answers the first poll with these (id, action, argsJson), later ones with nothing."""
    batches = [[dict(zip(("operationId", "action", "argsJson"), entry, strict=True)) for entry in operations]]

    def answer(request: SeenRequest) -> bytes:
        if not request.target.endswith("/poll"):
            return OK
        return reply({"operations": batches.pop() if batches else []})

    return answer


# The client


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", CallFailure.TIMEOUT),
        (b"HTTP/1.1 204 No Content\r\n\r\n", CallFailure.TIMEOUT),
        (b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", CallFailure.OTHER),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}", CallFailure.CLIENT_ERROR),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\n{}", CallFailure.SERVER_ERROR),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", CallFailure.OTHER),
        (b"nonsense\r\n\r\n", CallFailure.OTHER),
        (None, CallFailure.TIMEOUT),
    ],
)
async def test_every_answer_but_a_2xx_with_a_body_fails(
    relay: AnsweringRelay, answer: bytes | None, failure: CallFailure
) -> None:
    relay.answer = lambda request: answer
    with pytest.raises(RequestFailed) as caught:
        await HttpClient(relay.url, total_s=30.0 if answer else 0.2).get("/x")
    assert caught.value.failure is failure


async def test_a_refused_connection_fails_as_other() -> None:
    with pytest.raises(RequestFailed) as caught:
        await HttpClient("http://127.0.0.1:9").get("/x")
    assert caught.value.failure is CallFailure.OTHER


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nok",
    ],
)
async def test_any_2xx_with_a_body_succeeds(relay: AnsweringRelay, answer: bytes) -> None:
    relay.answer = lambda request: answer
    assert await HttpClient(relay.url).get("/x") == b"ok"


async def test_an_address_of_https_is_called_by_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cert, key = make_certificate(tmp_path, "localhost")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(cert, key)
    relay = AnsweringRelay()
    async with await asyncio.start_server(relay.handle, "127.0.0.1", 0, ssl=tls) as server:
        client = HttpClient(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/k/secret")
        with pytest.raises(RequestFailed):
            await client.get("/x")  # nobody vouches for it
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        assert await client.get("/x") == b"{}"


async def test_the_path_follows_the_base_and_a_get_has_two_headers(relay: AnsweringRelay) -> None:
    await HttpClient(relay.url + "/").get("/gameserver/local/poll")
    assert relay.requests[0].target == "/k/secret//gameserver/local/poll"
    names = [line.split(":")[0] for line in relay.requests[0].head.split("\r\n")[1:] if line]
    assert names == ["Host", "Accept"]


async def test_a_key_in_the_query_stays_in_the_address(relay: AnsweringRelay) -> None:
    base = relay.url.removesuffix("/k/secret") + "?key=secret"
    await HttpClient(base).get("/gameserver/local/poll")
    assert relay.requests[0].target == "/?key=secret/gameserver/local/poll"


@pytest.mark.parametrize(("size", "expects"), [(1024, False), (1025, True)])
async def test_a_larger_post_waits_for_100_continue(relay: AnsweringRelay, size: int, expects: bool) -> None:
    client = HttpClient(relay.url)
    await client.post("/x", b"x" * size, "application/json")
    assert ("Expect: 100-continue" in relay.requests[0].head) is expects
    assert (len(relay.requests[0].body), client.stalls) == (size, 0)


async def test_a_missing_100_continue_costs_a_second(relay: AnsweringRelay) -> None:
    relay.answers_continue = False
    client = HttpClient(relay.url)
    started = asyncio.get_running_loop().time()
    await client.post("/x", b"x" * 2000, "application/json")
    assert client.stalls == 1
    assert asyncio.get_running_loop().time() - started >= 0.95


# The mod


async def test_the_mod_registers_once_and_saves_the_answer(relay: AnsweringRelay) -> None:
    relay.answer = lambda request: reply(
        {"identityToken": "new-identity", "gameServerId": "id-7"} if "register" in request.target else {}
    )
    async with running(relay, identity_token="", game_server_id="", registration_token="r") as server:
        server.log("x")
        await server.wait_for(lambda: server.counters.batches)
    config = server.config
    assert (config.identity_token, config.game_server_id, config.registration_token) == (
        "new-identity",
        "id-7",
        "",
    )
    [register] = relay.to("/gameserver/register")
    assert register.json["serverName"] == "DayZ Server"
    assert "Authorization" not in register.head
    assert "Authorization: Bearer new-identity\r\n" in relay.to("/gameserver/id-7/events")[0].head


async def test_a_reboot_does_not_register_again(relay: AnsweringRelay) -> None:
    async with running(relay) as server:
        await server.wait_for(lambda: server.counters.polls)
        server.stop()
    async with running(relay) as again:
        await again.wait_for(lambda: again.counters.polls)
    assert relay.to("/register") == []


@pytest.mark.parametrize("answer", [reply({}, "503 Busy"), reply({}), reply([1]), b"HTTP/1.1 204 No\r\n\r\n"])
async def test_a_failed_register_is_never_retried(relay: AnsweringRelay, answer: bytes) -> None:
    relay.answer = lambda request: answer
    failed = asyncio.Event()
    server = WatchedDayz(
        SimModConfig(relay.url, "r", flush_s=0.01, poll_s=0.01),
        Generation.FLAT,
        on_line=lambda line: failed.set() if "registration failed" in line else None,
    )
    task = asyncio.create_task(server.run())
    server.log("x")
    async with asyncio.timeout(30):
        await failed.wait()
    server.stop()
    await task
    assert [request.target for request in relay.requests] == ["/k/secret/gameserver/register"]
    assert server.config.registration_token == "r"


async def test_without_a_token_the_mod_stays_idle(relay: AnsweringRelay) -> None:
    async with running(relay, identity_token="", game_server_id=""):
        pass
    assert relay.requests == []


async def test_a_batch_holds_50_events_in_order(relay: AnsweringRelay) -> None:
    async with running(relay) as server:
        for number in range(120):
            server.log(str(number))
        await server.wait_for(lambda: not server.queued)
    batches = [request.json["events"] for request in relay.to("/events")]
    assert [len(batch) for batch in batches] == [50, 50, 20]
    assert [event["msg"] for batch in batches for event in batch] == [str(number) for number in range(120)]


@pytest.mark.parametrize("answer", [reply({}, "400 Bad"), reply({}, "503 Busy"), b"HTTP/1.1 204 No\r\n\r\n"])
async def test_a_refused_batch_is_sent_again_with_newer_events(relay: AnsweringRelay, answer: bytes) -> None:
    relay.answer = lambda request: OK if len(relay.to("/events")) > 1 else answer
    async with running(relay) as server:
        server.log("1")
        await server.wait_for(lambda: server.counters.requeued)
        server.log("2")
        await server.wait_for(lambda: not server.queued)
    messages = [[event["msg"] for event in request.json["events"]] for request in relay.to("/events")]
    assert messages[0] == ["1"]
    assert messages[-1] == ["1", "2"]


async def test_a_lost_answer_sends_the_batch_twice(relay: AnsweringRelay) -> None:
    relay.answer = lambda request: (
        OK if "events" not in request.target or len(relay.to("/events")) > 1 else None
    )
    async with running(relay, total_s=0.5) as server:
        server.log("1")
        await server.wait_for(lambda: server.counters.batches)
    assert [request.json["events"][0]["msg"] for request in relay.to("/events")] == ["1", "1"]


async def test_a_full_queue_drops_new_events() -> None:
    server = WatchedDayz(SimModConfig("http://127.0.0.1:9"), Generation.MIXED)
    for number in range(2005):
        server.emit_raw(str(number).encode())
    assert (server.queued, server.dropped) == (2000, 5)


async def test_raw_text_is_sent_unchanged(relay: AnsweringRelay) -> None:
    async with running(relay) as server:
        server.emit_raw(b'{"type":"log","msg":"un"escaped\x00\xff')
        await server.wait_for(lambda: not server.queued)
    assert relay.to("/events")[0].body == b'{"events":[{"type":"log","msg":"un"escaped\x00\xff]}'


async def test_polls_never_overlap(relay: AnsweringRelay) -> None:
    relay.answer = lambda request: None if request.target.endswith("/poll") else OK
    async with running(relay, total_s=0.1) as server:
        server.log("x")
        await server.wait_for(lambda: server.counters.batches)  # while a poll is held
        assert len(relay.to("/poll")) <= 1 + server.counters.polls_failed
        await server.wait_for(lambda: server.counters.polls_failed >= 2)
        assert len(relay.to("/poll")) <= 1 + server.counters.polls_failed


@pytest.mark.parametrize("generation", list(Generation))
async def test_operations_are_run_and_each_result_is_posted(
    relay: AnsweringRelay, generation: Generation
) -> None:
    relay.answer = polled(
        ("1", "teleportPlayer", f'{{"gameId":"{ANNA.game_id}","x":1.5,"y":2,"z":3}}'),
        ("2", "sendMessage", '{"message":"hi","channel":"global"}'),
        ("3", "getMapInfo", "{}"),
        ("4", "kickPlayer", f'{{"gameId":"{BEN.game_id}","reason":"x"}}'),
        ("5", "shutdown", "{}"),
    )
    async with running(relay, generation) as server:
        server.join(make_player(1, "Anna"))
        server.join(make_player(2, "Ben"))
        await server.wait_for(lambda: server.counters.results == 5)
    assert [(effect.operation_id, effect.action) for effect in server.world.effects] == [
        ("1", "teleportPlayer"),
        ("2", "sendMessage"),
        ("4", "kickPlayer"),
        ("5", "shutdown"),
    ]
    assert server.world.players[ANNA.game_id].position == (1.5, 2.0, 3.0)
    assert server.world.messages == [("", "hi")]
    assert server.world.shutting_down
    assert BEN.game_id not in server.world.players
    results = {request.json["operationId"]: request.json for request in relay.to("/result")}
    assert "Unknown action: getMapInfo" in results["3"]["error"]
    assert [bool(results[number]["ok"]) for number in "12345"] == [True, True, False, True, True]


async def test_the_same_operation_twice_is_run_twice(relay: AnsweringRelay) -> None:
    operation = ("1", "executeConsoleCommand", '{"command":"say hi"}')
    relay.answer = polled(operation, operation)
    async with running(relay) as server:
        await server.wait_for(lambda: server.counters.results == 2)
    assert server.world.console == ["say hi", "say hi"]
    assert len(server.world.ran("executeConsoleCommand")) == 2


async def test_no_operation_of_an_unreadable_poll_answer_is_run(relay: AnsweringRelay) -> None:
    relay.answer = lambda request: reply({"operations": [{"operationId": "1"}]})
    async with running(relay) as server:
        await server.wait_for(lambda: server.counters.polls_unreadable)
    assert server.world.effects == []


async def test_a_result_that_is_refused_is_not_posted_again(relay: AnsweringRelay) -> None:
    hand_out = polled(("1", "listItems", "{}"))
    relay.answer = lambda request: reply({}, "503 Busy") if "result" in request.target else hand_out(request)
    async with running(relay) as server:
        await server.wait_for(lambda: server.counters.results_lost == 1)
        polls = server.counters.polls
        await server.wait_for(lambda: server.counters.polls > polls + 1)
    assert len(relay.to("/result")) == 1


async def test_a_ban_disconnects_the_player_and_an_unban_ends_it(relay: AnsweringRelay) -> None:
    relay.answer = polled(("1", "banPlayer", f'{{"gameId":"{ANNA.game_id}","reason":"x"}}'))
    async with running(relay) as server:
        server.join(make_player(1, "Anna"))
        await server.wait_for(lambda: server.counters.results == 1 and not server.queued)
    assert server.world.bans[ANNA.game_id].name == "Anna"
    types = [event["type"] for request in relay.to("/events") for event in request.json["events"]]
    assert types[-1] == "player-disconnected"
    server.world.perform("unbanPlayer", {"gameId": ANNA.game_id})
    assert server.world.bans == {}
