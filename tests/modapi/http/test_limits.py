"""The limits at the mods' port, met over HTTP: what an instance may send, and what a stranger may try."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import orjson
import pytest

from services.modapi import events
from services.modapi.dialect.bodies import ReadBatch, read_batch, read_object
from services.modapi.events import READ_AT_ONCE_BYTES
from services.modapi.http import router
from services.modapi.http.router import MAX_REGISTER_BYTES
from services.relay.protocol.command_states import new_operation_id
from services.relay.protocol.keys import keys_of
from services.relay.protocol.limits import Limits
from services.relay.protocol.records import Command
from services.relay.protocol.vocabulary import HAND_OUT_WITHIN_S, Action
from services.relay.service.http.addresses import networks
from services.relay.service.lifecycle import cancelled
from services.relay.service.settings import ModApi
from services.relay.store.client import Store
from services.relay.store.command_stream import CommandStream
from tests.support.log_lines import without_repetitions
from tests.support.modapi_port import ModapiPort, an_instance
from tests.support.waiting import until

EVENTS = "/gameserver/local/events"
POLL = "/gameserver/local/poll"
WRONG = "/k/wrong-key-0123456789"


class LimitedPort(ModapiPort):
    """The port for instances whose mod key is "key-of-" and their slug."""

    def __init__(self, store: Store, slugs: list[str], limits: Limits, trusted: str, loopback: bool) -> None:
        super().__init__(
            store,
            *(an_instance(slug, f"key-of-{slug}") for slug in slugs),
            settings=ModApi(host="127.0.0.1" if loopback else "0.0.0.0", hold_polls_s=0.0),
            limits=limits,
            trusted=networks(trusted.split()),
        )

    async def post(self, slug: str, body: bytes) -> int:
        return (await self.call("POST", f"/k/key-of-{slug}{EVENTS}", content=body)).status_code

    async def handed(self, slug: str, action: Action) -> str:
        """A command that the mod has fetched."""
        commands, name = CommandStream(self.store, slug), new_operation_id(action)
        await commands.enqueue(Command(name, action, {}), time.monotonic() + HAND_OUT_WITHIN_S)
        await commands.take()
        return name

    async def result(self, slug: str, operation_id: str, body: bytes) -> httpx.Response:
        path = f"/k/key-of-{slug}/gameserver/x/operation/{operation_id}/result"
        return await self.call("POST", path, content=body)

    def refused(self, limit: str) -> float:
        return self.count("dayz_relay_refused_total", limit=limit)


def logs(count: int, text: str = "line") -> bytes:
    return orjson.dumps({"events": [{"type": "log", "msg": f"{text} {n}"} for n in range(count)]})


Serve = Callable[..., LimitedPort]


@pytest.fixture
async def serve(store: Store, slug: str) -> AsyncIterator[Serve]:
    made: list[LimitedPort] = []

    def one(count: int = 2, trusted: str = "", loopback: bool = True, **limits: float) -> LimitedPort:
        slugs = [slug, f"{slug}-b"][:count]
        made.append(LimitedPort(store, slugs, Limits(**limits), trusted, loopback))
        return made[-1]

    yield one
    for each in made:
        await cancelled(each.serving)


# What comes: never a 4xx for content, the mod would send it again for ever


async def test_the_beginning_of_a_body_that_is_too_long_is_stored(serve: Serve, slug: str) -> None:
    port = serve(body_bytes=4096)
    assert await port.post(slug, logs(500)) == 200
    kept = await port.stored(slug)
    assert 80 < len(kept) < 200 and kept[0]["data"]["msg"] == "line 0"
    assert port.refused("body_bytes") == 1


@pytest.mark.parametrize("announced", [True, False])
async def test_a_result_that_is_too_long_is_refused(serve: Serve, slug: str, announced: bool) -> None:
    port = serve(result_bytes=4096)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * 1000

    content = b" " * 5000 if announced else pieces()
    path = f"/k/key-of-{slug}/gameserver/x/operation/listItems-1/result"
    assert (await port.call("POST", path, content=content)).status_code == 413
    assert port.refused("result_bytes") == 1


async def test_a_registration_has_a_small_limit_because_its_sender_is_unknown(
    serve: Serve, slug: str
) -> None:
    port = serve()
    body = orjson.dumps({"registrationToken": f"key-of-{slug}", "name": "x" * MAX_REGISTER_BYTES})
    assert (await port.call("POST", "/gameserver/register", content=body)).status_code == 413
    assert port.refused("body_bytes") == 1


@pytest.mark.parametrize("text", ["line", "x" * 3_000], ids=["short", "long enough to be read in a thread"])
async def test_the_first_events_of_a_batch_with_too_many_are_stored(
    serve: Serve, slug: str, text: str
) -> None:
    port = serve(batch_events=3)
    assert await port.post(slug, logs(10, text)) == 200
    assert [event["data"]["msg"] for event in await port.stored(slug)] == [f"{text} {n}" for n in range(3)]
    assert port.refused("batch_events") == 1


@pytest.mark.parametrize(
    ("limit", "event"),
    [
        ({"event_bytes": 1024}, {"type": "log", "msg": "x" * 2000}),
        ({"event_levels": 4}, {"type": "log", "msg": "x", "more": [[[[]]]]}),
    ],
)
async def test_an_event_beyond_a_limit_is_put_aside_and_its_neighbours_are_not(
    serve: Serve, slug: str, limit: dict[str, int], event: dict[str, Any]
) -> None:
    port = serve(**limit)
    body = orjson.dumps({"events": [event, {"type": "log", "msg": "a line"}]})
    assert await port.post(slug, body) == 200
    assert [event["data"]["msg"] for event in await port.stored(slug)] == ["a line"]
    assert await port.store.send("XLEN", keys_of(slug).dead) == 1
    assert port.refused(next(iter(limit))) == 1


async def test_a_long_text_is_cut(serve: Serve, slug: str) -> None:
    port = serve(text_chars=200)
    assert await port.post(slug, orjson.dumps([{"type": "log", "msg": "ä" * 300}])) == 200
    [event] = await port.stored(slug)
    assert event["data"]["msg"] == "ä" * 200
    assert port.refused("text_chars") == 1


async def test_a_text_of_few_characters_and_many_bytes_is_whole_and_not_counted(
    serve: Serve, slug: str
) -> None:
    port = serve(text_chars=200)
    assert await port.post(slug, orjson.dumps([{"type": "log", "msg": "ä" * 200}])) == 200
    [event] = await port.stored(slug)
    assert event["data"]["msg"] == "ä" * 200
    assert port.refused("text_chars") == 0


@pytest.mark.parametrize(
    ("limit", "path", "body"),
    [
        ({"requests_per_s": 0.5}, EVENTS, logs(1)),
        ({"events_per_s": 3.0}, EVENTS, logs(40)),
        ({"events_per_s": 3.0}, EVENTS, logs(1, "x" * 60_000)),
        ({"result_bytes": 61_000}, "/gameserver/x/operation/listItems-1/result", b" " * 60_000),
    ],
    ids=["requests", "events", "long events", "results that nobody asked for"],
)
async def test_an_instance_over_its_rate_limit_is_refused_and_others_are_not(
    serve: Serve, slug: str, limit: dict[str, float], path: str, body: bytes
) -> None:
    port, posts = serve(**limit), 0

    async def post() -> int:
        nonlocal posts
        posts += 1
        return (await port.call("POST", f"/k/key-of-{slug}{path}", content=body)).status_code

    assert await post() == 200
    await until(post, met=lambda status: status == 429)
    assert posts <= 20, "a post counts for less than it is"
    assert await port.post(f"{slug}-b", logs(1)) == 200
    assert port.refused(next(iter(limit))) >= 1


async def test_health_of_an_instance_counts_as_a_call_of_it(serve: Serve, slug: str) -> None:
    """It asks Redis, like a poll."""
    port = serve(requests_per_s=0.1)

    async def health() -> int:
        return (await port.call("GET", f"/k/key-of-{slug}/health")).status_code

    assert [await health() for _ in range(2)] == [200, 429]
    assert (await port.call("GET", f"/k/key-of-{slug}-b/health")).status_code == 200
    assert port.refused("requests_per_s") == 1


@pytest.mark.parametrize(
    ("body", "answer"),
    [(b"{" * READ_AT_ONCE_BYTES + b"}", 429), (logs(20, "x" * 1000), 200)],
    ids=["broken", "honest"],
)
async def test_a_batch_costs_the_same_if_its_mod_hangs_up_while_it_is_read(
    serve: Serve, slug: str, monkeypatch: pytest.MonkeyPatch, body: bytes, answer: int
) -> None:
    port, is_read, may_end = serve(events_per_s=3.0), threading.Event(), threading.Event()

    def read_slowly(body: bytes, most: int) -> ReadBatch:
        is_read.set()
        may_end.wait(30)
        return read_batch(body, most)

    monkeypatch.setattr(events, "read_batch", read_slowly)
    _, writer = await asyncio.open_connection("127.0.0.1", port.port)
    head = f"POST /k/key-of-{slug}{EVENTS} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await asyncio.to_thread(is_read.wait, 30)
    writer.close()
    for _ in range(2):  # by then, the end of the connection is read as well
        await port.call("GET", "/")
    may_end.set()
    counted = {"call": "events", "answer": "cut-short"}
    await until(lambda: port.count("dayz_relay_mod_calls_total", **counted))
    assert await port.post(slug, logs(1)) == answer


async def test_a_catalogue_silences_nothing_else(serve: Serve, slug: str) -> None:
    port = serve()
    name = await port.handed(slug, Action.LIST_ITEMS)
    rows = [
        {"code": f"Item_{n}", "name": f"Item number {n}", "description": "x" * 100} for n in range(50_000)
    ]
    body = orjson.dumps({"ok": True, "result": rows})
    assert 7_500_000 < len(body) < 8_300_000
    assert (await port.result(slug, name, body)).status_code == 200
    assert await port.post(slug, logs(1)) == 200
    assert (await port.call("GET", f"/k/key-of-{slug}{POLL}")).status_code == 200


@pytest.mark.parametrize(
    ("limit", "body"),
    [({"result_bytes": 61_000}, b" " * 60_000), ({"requests_per_s": 0.5}, b""), ({"events_per_s": 0.1}, b"")],
    ids=["size", "requests", "events"],
)
async def test_a_result_that_a_request_waits_for_is_not_refused(
    serve: Serve, slug: str, limit: dict[str, float], body: bytes
) -> None:
    port = serve(**limit)
    name = await port.handed(slug, Action.SHUTDOWN)
    assert await port.post(slug, logs(40)) == 200
    for _ in range(10):
        await port.result(slug, "listItems-1", body)
    assert (await port.result(slug, name, b'{"ok":true}' + body)).status_code == 200
    assert [answered for _, answered, _ in await CommandStream(port.store, slug).results("", 10)] == [name]


async def test_a_result_that_a_request_waits_for_waits_for_memory(serve: Serve, slug: str) -> None:
    port = serve(result_bytes=200_000)
    name = await port.handed(slug, Action.SHUTDOWN)
    path = f"/k/key-of-{slug}/gameserver/x/operation/listItems-1/result"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 199999\r\n\r\n".encode()
    slow = [await asyncio.open_connection("127.0.0.1", port.port) for _ in range(2)]
    for _, writer in slow:
        writer.write(head + b" " * 150_000)
    while (await port.result(slug, "listItems-1", b" " * 150_000)).status_code != 429:
        pass  # they are not read yet
    asked = asyncio.create_task(port.result(slug, name, b'{"ok":true}' + b" " * 150_000))
    done, _ = await asyncio.wait([asked], timeout=0.3)
    assert not done
    for _, writer in slow:
        writer.close()
    assert (await asked).status_code == 200


RESULT = "operation/listItems-1/result"


@pytest.mark.parametrize("call", [RESULT, "events"])
async def test_incomplete_bodies_of_one_instance_share_one_limit(serve: Serve, slug: str, call: str) -> None:
    port = serve(result_bytes=200_000)
    path = f"/k/key-of-{slug}/gameserver/x/{call}"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 199999\r\n\r\n".encode()
    slow = [await asyncio.open_connection("127.0.0.1", port.port) for _ in range(4)]
    try:
        for _, writer in slow:
            writer.write(head + b" " * 150_000)
        answered = [asyncio.create_task(reader.readline()) for reader, _ in slow]
        await until(lambda: sum(task.done() for task in answered) >= 2)
        assert [task.result().split()[1] for task in answered if task.done()] == [b"429"] * 2
        for task in answered:
            task.cancel()
        assert await port.post(f"{slug}-b", logs(1)) == 200
    finally:
        for _, writer in slow:
            writer.close()


# Who may speak


async def test_wrong_keys_are_limited_and_the_right_key_never_is(serve: Serve, slug: str) -> None:
    port = serve(wrong_keys_per_minute=3)
    tried = [(await port.call("GET", WRONG + POLL)).status_code for _ in range(5)]
    assert tried == [401, 401, 401, 429, 429]
    assert (await port.call("GET", WRONG + "/health")).status_code == 429
    assert (await port.call("GET", f"/k/key-of-{slug}{POLL}")).status_code == 200
    assert port.refused("wrong_keys_per_minute") == 3


async def test_calls_without_a_key_are_limited_too(serve: Serve) -> None:
    port = serve(wrong_keys_per_minute=3)
    assert [(await port.call("GET", POLL)).status_code for _ in range(5)] == [401, 401, 401, 429, 429]


async def test_broken_bodies_of_a_limited_caller_are_not_repaired(
    serve: Serve, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    repaired = []

    def repairs(body: bytes) -> dict[str, Any]:
        repaired.append(body)
        return read_object(body)

    monkeypatch.setattr(router, "read_object", repairs)
    port = serve(wrong_keys_per_minute=3)
    broken = b'{"registrationToken":"key-of-nobody",}'
    register = "/gameserver/register"
    tried = [(await port.call("POST", register, content=broken)).status_code for _ in range(6)]
    assert (tried, len(repaired)) == ([401, 401, 401, 429, 429, 429], 3)
    good = orjson.dumps({"registrationToken": f"key-of-{slug}"})
    assert (await port.call("POST", register, content=good)).status_code == 200  # the right key never is


async def test_many_addresses_of_one_network_are_one_line_in_the_log(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    port = serve(wrong_keys_per_minute=1_000, trusted="127.0.0.1")
    for path in (WRONG + POLL, POLL):
        caplog.clear()
        with without_repetitions(caplog):
            for n in range(20):
                await port.call("GET", path, headers={"x-forwarded-for": f"2001:db8::{n + 1:x}"})
        assert len([record for record in caplog.records if "refused" in record.getMessage()]) == 1


async def test_only_a_trusted_proxy_can_name_the_address_that_tries_keys(serve: Serve) -> None:
    for trusted, put_off in (("127.0.0.1", 0), ("", 3)):
        port = serve(wrong_keys_per_minute=3, trusted=trusted)
        tried = [
            await port.call("GET", WRONG + POLL, headers={"x-forwarded-for": f"1.2.3.{n}"}) for n in range(6)
        ]
        assert [answer.status_code for answer in tried].count(429) == put_off


@pytest.mark.parametrize(("count", "loopback"), [(2, True), (1, False)])
async def test_a_call_without_a_key_is_told_how_to_set_it(serve: Serve, count: int, loopback: bool) -> None:
    port = serve(count=count, loopback=loopback)
    answer = await port.call("GET", POLL)
    assert answer.status_code == 401 and "TakaroApiUrl" in answer.text and "/k/<key>" in answer.text


async def test_a_poll_needs_its_key_in_the_url(serve: Serve, slug: str) -> None:
    """The engine's GET carries no header; a secret there is one that a page or a proxy put in."""
    port = serve()
    bearer = {"authorization": f"Bearer key-of-{slug}"}
    assert (await port.call("GET", POLL, headers=bearer)).status_code == 401
    assert (await port.call("POST", EVENTS, headers=bearer, content=logs(1))).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-for": "1.2.3.4"},
        {"forwarded": "for=1.2.3.4"},
        {"via": "1.1 proxy"},
        {"origin": "https://page.example"},
        {"sec-fetch-site": "cross-site"},
        {"host": "page.example"},
        {"host": "127.0.0.1.page.example:8088"},
    ],
)
async def test_a_proxy_or_a_page_in_a_browser_always_needs_a_key(
    serve: Serve, headers: dict[str, str]
) -> None:
    port = serve(count=1)
    assert (await port.call("GET", POLL)).status_code == 200
    assert (await port.call("GET", POLL, headers=headers)).status_code == 401


async def test_an_id_in_the_path_opens_no_other_instance(serve: Serve, slug: str) -> None:
    """Every call, with every id of the other server in path, query and body, by the key of this one."""
    port, other = serve(), f"{slug}-b"
    commands = CommandStream(port.store, other)
    for id in (other, f"identity-{other}", f"../../k/key-of-{other}/gameserver/{other}"):
        name = new_operation_id(Action.SHUTDOWN)
        await commands.enqueue(Command(name, Action.SHUTDOWN, {}), time.monotonic() + HAND_OUT_WITHIN_S)
        base = f"/k/key-of-{slug}/gameserver/{id}"
        query = {"key": f"key-of-{other}", "id": other}
        body = {
            "registrationToken": f"key-of-{other}",
            "identityToken": f"identity-{other}",
            "operationId": name,
        }
        registered = await port.call(
            "POST", "/k/key-of-" + slug + "/gameserver/register", json=body, params=query
        )
        assert registered.json()["identityToken"] == f"key-of-{slug}"
        await port.call("POST", f"{base}/events", content=logs(1), params=query)
        polled = await port.call("GET", f"{base}/poll", params=query)
        assert polled.status_code != 200 or polled.json() == {"operations": []}
        result = await port.call("POST", f"{base}/operation/{name}/result", json=body, params=query)
        unknown = await port.call(
            "POST", f"{base}/operation/shutdown-made-up/result", json=body, params=query
        )
        assert (result.status_code, result.content) == (unknown.status_code, unknown.content)
        assert [command.operation_id for command in await commands.take()] == [name]
    assert await port.stored(other) == []
    assert await commands.results("", 10) == []


async def test_wrong_and_unknown_keys_have_the_same_answer(serve: Serve, slug: str) -> None:
    port = serve()
    keys = ["x" * 32, f"key-of-{slug}"[:-1], f"key-of-{slug}x", f"identity-{slug}", slug, "%00", "k" * 5000]
    answers = [await port.call("GET", f"/k/{key}{POLL}") for key in keys]
    assert {(one.status_code, one.content, tuple(one.headers.items())) for one in answers} == {
        (401, answers[0].content, tuple(answers[0].headers.items()))
    }


@pytest.mark.parametrize(
    "path", ["/docs", "/redoc", "/openapi.json", "/api/instances", "/metrics", "/readyz"]
)
async def test_the_mods_port_documents_and_administers_nothing(serve: Serve, slug: str, path: str) -> None:
    port = serve()
    assert (await port.call("GET", f"/k/key-of-{slug}{path}")).status_code == 404
    assert (await port.call("GET", path)).status_code == 404
