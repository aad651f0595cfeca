"""Calls with an Idempotency-Key take effect once."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import AsyncMock

import httpx
import pytest

from services.modapi.admin.repeats import KEPT_MS, RUNNING_MS
from services.relay.instances.directory import Directory
from services.relay.instances.records import KEPT_KEYS
from services.relay.instances.registry import Registry
from services.relay.protocol.errors import StoreError
from services.relay.protocol.keys import CALL_ANSWERS, CALL_TIMES, keys_of
from services.relay.protocol.records import Outcome
from services.relay.service.clocks import boottime_s
from services.relay.service.lifecycle import cancelled
from services.relay.store.client import Script, Store
from services.relay.store.command_stream import CommandStream
from tests.modapi.admin.conftest import FILE, TOKEN, client
from tests.support.redis_server import RedisServer
from tests.support.sse import AppClient
from tests.support.stored_instances import forget_instances
from tests.support.waiting import until

SERVER = f"/api/v1/servers/{FILE.slug}"
HELLO = {"text": "hello"}


def word(key: str = "call-1") -> dict[str, str]:
    return {"idempotency-key": key}


@pytest.fixture(autouse=True)
async def nothing_remembered(store: Store) -> None:
    await store.send("UNLINK", CALL_ANSWERS)
    await store.send("UNLINK", CALL_TIMES)


@pytest.fixture
async def mod(store: Store) -> AsyncIterator[list[str]]:
    """A mod that answers each command a moment later: the messages that it got."""
    commands, got = CommandStream(store, FILE.slug), list[str]()

    async def answer() -> None:
        while True:
            for command in await commands.take():
                got.append(command.args["message"])
                await asyncio.sleep(0.1)
                await commands.complete(command.operation_id, Outcome(), {})
            await asyncio.sleep(0.02)

    answering = asyncio.create_task(answer())
    yield got
    await cancelled(answering)


async def say(api: httpx.AsyncClient, key: str = "call-1", text: str = "hello") -> httpx.Response:
    return await api.post(f"{SERVER}/messages", json={"text": text}, headers=word(key))


async def test_a_message_is_sent_once_and_its_repeats_get_the_first_answer(
    api: httpx.AsyncClient, store: Store, mod: list[str]
) -> None:
    first, again = await say(api), await say(api)
    other, _ = client(store, TOKEN)
    async with other:
        elsewhere = await say(other)
    assert first.json()["state"] == "answered"
    assert first.text == again.text == elsewhere.text and mod == ["hello"]
    assert (await say(api, "call-2")).status_code == 200 and mod == ["hello", "hello"]


async def test_a_repeat_while_the_first_call_runs_is_refused(api: httpx.AsyncClient, mod: list[str]) -> None:
    answers = await asyncio.gather(*(say(api) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    codes = {answer.json()["code"] for answer in answers if answer.status_code == 409}
    assert codes == {"call_under_way"} and mod == ["hello"]


async def test_another_body_with_the_same_idempotency_key_is_refused(
    api: httpx.AsyncClient, mod: list[str]
) -> None:
    await say(api)
    other = await say(api, text="something else")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict") and mod == ["hello"]


async def test_a_call_that_was_cut_short_is_not_made_again(api: httpx.AsyncClient, store: Store) -> None:
    sending = asyncio.create_task(say(api))
    await until(lambda: store.send("XLEN", keys_of(FILE.slug).writes))
    await cancelled(sending)  # as when modapi is killed
    assert (await say(api)).json()["code"] == "call_under_way"
    [id, at_ms] = await store.send("ZRANGE", CALL_TIMES, 0, 0, "WITHSCORES")
    await store.send("ZADD", CALL_TIMES, int(at_ms) - RUNNING_MS, id)
    assert (await say(api)).json()["code"] == "outcome_unknown"
    await store.send("UNLINK", keys_of(FILE.slug).writes)
    await store.send("UNLINK", keys_of(FILE.slug).waiting)


async def test_a_refused_call_uses_up_no_idempotency_key(api: httpx.AsyncClient, store: Store) -> None:
    for _ in range(2):
        answer = await api.post("/api/v1/servers/one/disable", headers=word())
        assert answer.json()["code"] == "server_not_found"
    assert (await api.post(f"{SERVER}/messages", json={}, headers=word())).status_code == 422
    assert await store.send("HLEN", CALL_ANSWERS) == await store.send("ZCARD", CALL_TIMES) == 0


async def test_a_call_that_was_noted_and_not_carried_out_can_be_made_again(
    api: httpx.AsyncClient, mod: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_until = Store.run_until

    async def unconfirmed(store: Store, within_s: float, script: Script, *given: Any, **more: Any) -> Any:
        reply = await run_until(store, within_s, script, *given, **more)
        if script.name == "begin_call":
            raise StoreError("Redis: only 0 of 1 replicas have it")
        return reply

    with monkeypatch.context() as patched:
        patched.setattr(Store, "run_until", unconfirmed)
        assert (await say(api)).json()["code"] == "store_away"
    await until(lambda: say(api), met=lambda answer: answer.status_code == 200)
    assert mod == ["hello"]


async def test_a_call_can_be_made_again_after_redis_stood_still_for_longer_than_it_waited(
    api: httpx.AsyncClient, redis_server: RedisServer
) -> None:
    await api.post("/api/v1/servers", json={"slug": "one", "name": "Server one"})
    stalled = Store(redis_server.url, call_timeout_s=0.2)
    other, _ = client(stalled, TOKEN)

    async def disable(key: str = "disable") -> int:
        return (await other.post("/api/v1/servers/one/disable", headers=word(key))).status_code

    await until(lambda: disable("first"), met=lambda status: status == 200)  # Redis has the scripts then

    with redis_server.stopped():
        assert await disable() == 503
        with pytest.raises(StoreError):  # by now, what was sent with the answer has failed as well
            await stalled.send("HLEN", CALL_ANSWERS)
    await until(disable, met=lambda status: status == 200)
    await stalled.close()


async def test_a_late_repeat_does_not_undo_what_came_after(api: httpx.AsyncClient) -> None:
    await api.post("/api/v1/servers", json={"slug": "one", "name": "Server one"}, headers=word("create"))
    await api.post("/api/v1/servers/one/disable", headers=word("disable"))
    await api.post("/api/v1/servers/one/enable", headers=word("enable"))
    late = await api.post("/api/v1/servers/one/disable", headers=word("disable"))
    assert late.json()["server"]["disabled"] is True  # the first answer
    assert (await api.get("/api/v1/servers/one")).json()["disabled"] is False


async def test_a_dead_letter_is_retried_once(api: httpx.AsyncClient, store: Store) -> None:
    fields = ("reason", "unknown-type", "detail", "why", "raw", b'{"type": "log", "msg": "line"}')
    await store.send("XADD", keys_of(FILE.slug).dead, "*", *fields)
    path = f"{SERVER}/dead-letters/retry"
    first, again = [await api.post(path, headers=word()) for _ in range(2)]
    assert first.json() == again.json() == {"counts": {"taken": 1}}
    assert await store.send("XLEN", keys_of(FILE.slug).events) == 1


async def test_a_repeat_gets_the_same_token_until_that_is_deleted_and_redis_has_no_secret(
    api: httpx.AsyncClient, store: Store
) -> None:
    new = {"name": "panel", "role": "read"}
    first, again = [await api.post("/api/v1/tokens", json=new, headers=word()) for _ in range(2)]
    assert first.status_code == 201 and first.json() == again.json()
    token = first.json()["token"]
    assert (await api.get("/api/v1/fleet", headers={"authorization": f"Bearer {token}"})).status_code == 200
    created = await api.post("/api/v1/servers", json={"slug": "one", "name": "Server one"}, headers=word())
    stored = str(await store.send("HGETALL", CALL_ANSWERS))
    assert token not in stored and created.json()["mod_key"] not in stored and "call-1" not in stored
    await api.delete("/api/v1/tokens/panel")
    late = await api.post("/api/v1/tokens", json=new, headers=word())
    assert (late.status_code, late.json()["code"]) == (409, "idempotency_conflict")


async def test_a_call_whose_answer_of_redis_was_lost_makes_the_same_key_again(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = Registry.create

    async def lost(*given: Any, **more: Any) -> None:
        await create(*given, **more)
        raise StoreError("the answer was lost")

    with monkeypatch.context() as patched:
        patched.setattr(Registry, "create", lost)
        assert (await api.post("/api/v1/servers", json=server("one"), headers=word())).status_code == 503
    again, later = [await api.post("/api/v1/servers", json=server("one"), headers=word()) for _ in range(2)]
    assert again.status_code == 201 and again.json()["mod_key"] == later.json()["mod_key"]


async def test_a_call_that_only_its_repeat_has_finished_is_not_done_again(
    api: httpx.AsyncClient, store: Store
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Registry, "create", AsyncMock(side_effect=StoreError("Redis is away")))
        assert (await api.post("/api/v1/servers", json=server("one"), headers=word())).status_code == 503
    assert (await api.post("/api/v1/servers", json=server("one"), headers=word())).status_code == 201
    await api.delete("/api/v1/servers/one?purge=true")
    await forget_instances(store)  # as a few seconds later
    late = await api.post("/api/v1/servers", json=server("one"), headers=word())
    assert (late.status_code, late.json()["code"]) == (409, "idempotency_conflict")


async def test_a_call_is_known_for_a_day_also_if_the_clock_of_redis_is_set_forward(
    made: tuple[AppClient, Directory], store: Store
) -> None:
    api, directory = made
    first = await api.post("/api/v1/servers", json=server("one"), headers=word())
    [id] = await store.send("ZRANGE", CALL_TIMES, 0, -1)
    await store.send("ZINCRBY", CALL_TIMES, -2 * KEPT_MS, id)  # set forward by two days
    clock, now_s = directory.registry.records.clock, boottime_s()
    assert clock.observe(int(time.time() * 1000) + 2 * KEPT_MS, now_s, now_s)
    again = await api.post("/api/v1/servers", json=server("one"), headers=word())
    assert again.status_code == 201 and again.json()["mod_key"] == first.json()["mod_key"]


async def test_a_late_repeat_brings_no_server_back_and_makes_no_further_key(api: httpx.AsyncClient) -> None:
    new = {"slug": "one", "name": "Server one"}
    await api.post("/api/v1/servers", json=new, headers=word())
    path, asked = "/api/v1/servers/one/rotate", {"force": True}
    for number in range(KEPT_KEYS + 1):
        await api.post(path, json=asked, headers=word(f"rotate-{number}"))
    late = await api.post(path, json=asked, headers=word("rotate-0"))
    assert (late.status_code, late.json()["code"]) == (409, "idempotency_conflict")
    await api.delete("/api/v1/servers/one?purge=true")
    late = await api.post("/api/v1/servers", json=new, headers=word())
    assert (late.status_code, late.json()["code"]) == (409, "idempotency_conflict")


async def test_an_idempotency_key_counts_for_one_call_of_one_caller(
    api: httpx.AsyncClient,
) -> None:
    made = [await api.post("/api/v1/servers", json=server(slug), headers=word()) for slug in ("one", "two")]
    assert [answer.status_code for answer in made] == [201, 409]
    assert (await api.post("/api/v1/servers/one/disable", headers=word())).status_code == 200
    token = (await api.post("/api/v1/tokens", json={"name": "other"})).json()["token"]
    api.headers["authorization"] = f"Bearer {token}"
    assert (await api.post("/api/v1/servers", json=server("two"), headers=word())).status_code == 201


def server(slug: str) -> dict[str, Any]:
    return {"slug": slug, "name": f"Server {slug}"}


async def test_every_post_takes_an_idempotency_key(api: httpx.AsyncClient) -> None:
    described = (await api.get("/api/v1/openapi.json")).json()
    for path, calls in described["paths"].items():
        if "post" in calls:
            names = [one["name"].lower() for one in calls["post"]["parameters"]]
            assert names.count("idempotency-key") == 1, path
    answer = await api.post(f"{SERVER}/disable", headers={"idempotency-key": "two words"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert [wrong["place"] for wrong in answer.json()["errors"]] == ["idempotency-key"]


async def test_remembered_calls_are_limited_and_the_oldest_are_forgotten(store: Store) -> None:
    begin = Script("begin_call")
    keys = (CALL_ANSWERS, CALL_TIMES)
    for id in ("a", "b", "c", "d"):
        assert await store.run(begin, keys, id, f"claim {id}", 60_000, 3) is None
        await asyncio.sleep(0.002)  # calls of one millisecond have no order
    assert sorted(await store.send("HKEYS", CALL_ANSWERS)) == [b"b", b"c", b"d"]
    assert (await store.run(begin, keys, "d", "another claim", 60_000, 3))[0] == b"claim d"
    assert await store.run(begin, keys, "d", "another claim", 0, 3) is None  # too old
