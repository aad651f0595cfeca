"""The mods' HTTP as the engine's client meets it: modapi on a real socket, a real store behind it."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import orjson
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.modapi.dialect.roster import Roster
from services.modapi.events import EventIntake
from services.modapi.metrics import ModapiMetrics
from services.relay.instances.facts import InstanceData, LinkInfo
from services.relay.instances.wrong_keys import NOTED_APART_S, WrongKeyCalls
from services.relay.protocol.command_states import new_operation_id
from services.relay.protocol.limits import DEFAULT_LIMITS
from services.relay.protocol.records import Command
from services.relay.protocol.vocabulary import HAND_OUT_WITHIN_S, Action
from services.relay.service.lifecycle import cancelled
from services.relay.service.settings import ModApi
from services.relay.store.client import Store
from services.relay.store.command_stream import CommandStream
from services.relay.store.event_stream import EventStream
from services.sim.dayz.http import HttpClient
from tests.support.log_lines import without_repetitions
from tests.support.modapi_port import ModapiPort, an_instance
from tests.support.waiting import until

KEY = "mod-key-0123456789abcdef"
EVENTS = "/gameserver/local/events"
LOG = b'{"events":[{"type":"log","msg":"a line"}]}'


class ModapiOfTwo(ModapiPort):
    """modapi for two instances."""

    def __init__(self, store: Store, slug: str) -> None:
        self.slug, self.other = slug, f"{slug}-b"
        token = SecretStr("of-the-other-alone")
        other = an_instance(self.other, "key-of-the-other-server", registration_token=token)
        super().__init__(store, an_instance(slug, KEY), other, settings=ModApi(hold_polls_s=5.0))


@pytest.fixture
async def modapi(store: Store, slug: str) -> AsyncIterator[ModapiOfTwo]:
    modapi = ModapiOfTwo(store, slug)
    yield modapi
    await cancelled(modapi.serving)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/gameserver/register", b'{"registrationToken":"","serverName":"DayZ Server"}'),
        ("POST", EVENTS, LOG),
        ("POST", EVENTS, b"}{ not JSON at all"),
        ("POST", EVENTS, b""),
        ("GET", "/gameserver/local/poll", None),
        ("POST", "/gameserver/local/operation/giveItem-unknown/result", b'{"ok":true}'),
        ("POST", "/gameserver/local/operation/nonsense/result", b"\xff\xfe"),
    ],
)
async def test_every_call_gets_200_a_body_and_its_length(
    modapi: ModapiOfTwo, method: str, path: str, body: bytes | None
) -> None:
    answer = await modapi.call(method, f"/k/{KEY}{path}", content=body)
    assert answer.status_code == 200
    assert orjson.loads(answer.content) and answer.headers["content-length"] == str(len(answer.content))


@pytest.mark.parametrize(
    "content_type", ["", "application/octet-stream", "Bearer of-something-else", "text/plain"]
)
async def test_the_content_type_does_not_matter(modapi: ModapiOfTwo, content_type: str) -> None:
    answer = await modapi.call(
        "POST", f"/k/{KEY}{EVENTS}", content=LOG, headers={"content-type": content_type}
    )
    assert answer.status_code == 200
    assert [event["data"]["msg"] for event in await modapi.stored(modapi.slug)] == ["a line"]


async def test_the_path_id_is_no_identity(modapi: ModapiOfTwo) -> None:
    """A mod reaches its own instance, whatever id it saved, be it the other's."""
    await modapi.call("POST", f"/k/{KEY}/gameserver/{modapi.other}/events", content=LOG)
    assert len(await modapi.stored(modapi.slug)) == 1
    assert await modapi.stored(modapi.other) == []


@pytest.mark.parametrize("prefix", ["", "/k/wrong-key", "/k/identity-0"])
@pytest.mark.parametrize(("method", "path"), [("POST", EVENTS), ("GET", "/gameserver/local/poll")])
async def test_without_the_right_key_nothing_is_stored_or_shown(
    modapi: ModapiOfTwo, prefix: str, method: str, path: str
) -> None:
    answer = await modapi.call(method, prefix + path, content=LOG)
    assert answer.status_code == 401
    assert KEY not in answer.text and "identity" not in answer.text
    assert await modapi.stored(modapi.slug) == await modapi.stored(modapi.other) == []


@pytest.mark.parametrize("how", ["path", "query", "bearer", "body"])
async def test_register_answers_with_the_credential_and_an_id_that_stays(
    modapi: ModapiOfTwo, how: str
) -> None:
    path = f"/k/{KEY}/gameserver/register" if how == "path" else "/gameserver/register"
    query = {"key": KEY} if how == "query" else {}
    headers = {"authorization": f"Bearer {KEY}"} if how == "bearer" else {}
    body = {"registrationToken": KEY if how == "body" else "", "serverName": "DayZ Server"}
    answers = [
        (await modapi.call("POST", path, params=query, headers=headers, json=body)).json() for _ in range(2)
    ]
    assert answers[0] == answers[1]
    assert answers[0]["identityToken"] == KEY and answers[0]["gameServerId"]


async def test_calls_with_a_wrong_key_are_remembered(modapi: ModapiOfTwo) -> None:
    await modapi.store.send("DEL", "relay:unknown-keys")
    await modapi.call("GET", "/k/a-key-with-a-typo-0123/gameserver/local/poll")
    found, *_ = await WrongKeyCalls(modapi.store).all()
    assert found.address == "127.0.0.1" and 0 <= time.time() * 1000 - found.at_ms < 60_000
    assert found.slug == ""


async def test_a_call_to_register_is_known_by_the_registration_token_that_only_one_server_has(
    modapi: ModapiOfTwo,
) -> None:
    await modapi.store.send("DEL", "relay:unknown-keys")
    for token in ("of-nobody", "of-the-other-alone"):
        body = orjson.dumps({"registrationToken": token})
        await asyncio.sleep(NOTED_APART_S)
        answer = await modapi.call("POST", "/k/a-key-with-a-typo-0123/gameserver/register", content=body)
        assert answer.status_code == 401
    assert {one.slug for one in await WrongKeyCalls(modapi.store).all()} == {"", modapi.other}


async def test_a_wrong_key_in_the_url_is_logged_when_the_token_in_the_body_is_right(
    modapi: ModapiOfTwo, caplog: pytest.LogCaptureFixture
) -> None:
    body = orjson.dumps({"registrationToken": KEY})
    answer = await modapi.call("POST", "/k/a-key-with-a-typo-0123/gameserver/register", content=body)
    assert answer.status_code == 200
    assert f"the mod of {modapi.slug} has the right RegistrationToken and a wrong key in" in caplog.text


async def test_register_hands_out_takaros_id_once_it_is_known(modapi: ModapiOfTwo) -> None:
    await InstanceData(modapi.store, modapi.slug).write_link(LinkInfo("ready", "the-id-of-takaro"))
    answer = await modapi.call("POST", f"/k/{KEY}/gameserver/register", content=b"{}")
    assert answer.json()["gameServerId"] == "the-id-of-takaro"


async def test_register_is_answered_even_without_a_store(slug: str) -> None:
    store = Store("unix:///nowhere/at/all")
    modapi = ModapiOfTwo(store, slug)
    answer = await modapi.call("POST", f"/k/{KEY}/gameserver/register", content=b"{}")
    assert answer.status_code == 200 and answer.json()["gameServerId"]
    refused = await modapi.call("POST", f"/k/{KEY}{EVENTS}", content=LOG)
    assert refused.status_code == 503 and refused.content
    await cancelled(modapi.serving)
    await store.close()


async def test_a_command_goes_out_flat_and_its_result_comes_back(modapi: ModapiOfTwo) -> None:
    commands = CommandStream(modapi.store, modapi.slug)
    name = new_operation_id(Action.GIVE_ITEM)
    args = {"gameId": "7656", "item": "Apple", "amount": 2, "quality": ""}
    await commands.enqueue(Command(name, Action.GIVE_ITEM, args), time.monotonic() + HAND_OUT_WITHIN_S)
    [operation] = (await modapi.call("GET", f"/k/{KEY}/gameserver/x/poll")).json()["operations"]
    assert operation == {
        "operationId": name,
        "action": "giveItem",
        "argsJson": '{"gameId":"7656","item":"Apple","amount":2,"quality":""}',
    }
    result = f"/k/{KEY}/gameserver/x/operation/{name}/result"
    await modapi.call("POST", result, content=b'{"ok":0,"result":{},"error":"no room\n for it"}')
    [(_, answered, outcome)] = await commands.results("", 10)
    assert (answered, outcome.error) == (name, "no room for it")


async def test_the_other_server_can_not_answer_for_this_one(modapi: ModapiOfTwo) -> None:
    commands = CommandStream(modapi.store, modapi.slug)
    name = new_operation_id(Action.SHUTDOWN)
    await commands.enqueue(Command(name, Action.SHUTDOWN, {}), time.monotonic() + HAND_OUT_WITHIN_S)
    await commands.take()
    answer = await modapi.call(
        "POST", f"/k/key-of-the-other-server/gameserver/x/operation/{name}/result", content=b'{"ok":true}'
    )
    assert answer.status_code == 200
    assert await commands.results("", 10) == []


async def test_a_body_beyond_its_limit_is_refused_by_its_length_alone(modapi: ModapiOfTwo) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", modapi.port)
    length = DEFAULT_LIMITS.result_bytes + 1
    writer.write(f"POST /k/{KEY}{EVENTS} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
    assert b" 413 " in await asyncio.wait_for(reader.readline(), 30)
    writer.close()


async def test_a_catalogue_of_several_megabytes_fits_into_a_result(modapi: ModapiOfTwo) -> None:
    rows = [
        {"code": f"Item_{n}", "name": f"Item number {n}", "description": "x" * 100} for n in range(30_000)
    ]
    body = orjson.dumps({"ok": True, "result": {"items": rows}})
    assert 4_000_000 < len(body) < DEFAULT_LIMITS.result_bytes
    commands = CommandStream(modapi.store, modapi.slug)
    name = new_operation_id(Action.LIST_ITEMS)
    await commands.enqueue(Command(name, Action.LIST_ITEMS, {}), time.monotonic() + HAND_OUT_WITHIN_S)
    await commands.take()
    answer = await modapi.call("POST", f"/k/{KEY}/gameserver/x/operation/{name}/result", content=body)
    assert answer.status_code == 200
    [(_, _, outcome)] = await commands.results("", 10)
    assert len(outcome.value) == 30_000


async def test_the_engines_client_never_has_to_wait_for_100_continue(modapi: ModapiOfTwo) -> None:
    client = HttpClient(modapi.url, 10.0)
    lines = b",".join(b'{"type":"log","msg":"' + b"x" * 1000 + b'"}' for _ in range(20))
    await client.post(f"/k/{KEY}{EVENTS}", b'{"events":[' + lines + b"]}", "application/json")
    assert client.stalls == 0


async def test_a_mod_that_hung_up_before_its_answer_repeats_without_doubling(modapi: ModapiOfTwo) -> None:
    """It is not stored for a mod that is gone already; if it is, it is known to be unanswered."""
    body = b'{"events":[{"type":"log","msg":"once"}]}'
    head = f"POST /k/{KEY}{EVENTS} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", modapi.port)) as mod:
        mod.sendall(head + body)  # and gone
    assert (await modapi.call("POST", f"/k/{KEY}{EVENTS}", content=body)).status_code == 200
    assert len(await modapi.stored(modapi.slug)) == 1


async def test_the_time_of_a_hold_is_no_latency_also_if_the_mod_hangs_up(modapi: ModapiOfTwo) -> None:
    modapi.served_instances.instances[modapi.slug].polls.open()
    _, mod = await asyncio.open_connection("127.0.0.1", modapi.port)
    since_s = time.monotonic()
    mod.write(f"GET /k/{KEY}/gameserver/x/poll HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await asyncio.sleep(0.5)  # of 0.7 s for which it is held
    mod.close()
    counted = {"call": "poll", "answer": "cut-short"}
    await until(lambda: modapi.count("dayz_relay_mod_calls_total", **counted))
    passed_s = time.monotonic() - since_s
    assert modapi.count("dayz_relay_mod_call_seconds_sum", call="poll") < passed_s / 2


async def test_two_equal_lines_that_were_both_answered_are_two_lines(modapi: ModapiOfTwo) -> None:
    for _ in range(2):
        await modapi.call("POST", f"/k/{KEY}{EVENTS}", content=LOG)
    assert len(await modapi.stored(modapi.slug)) == 2


async def test_the_url_of_a_mod_in_a_browser_says_that_the_relay_is_there(modapi: ModapiOfTwo) -> None:
    for path in (f"/k/{KEY}", "/"):
        answer = await modapi.call("GET", path)
        assert answer.status_code == 404 and "/health" in answer.json()["error"]


async def test_health_has_the_shape_of_the_old_bridge(modapi: ModapiOfTwo) -> None:
    await InstanceData(modapi.store, modapi.slug).write_link(LinkInfo("ready", "the-id"))
    await modapi.call("GET", f"/k/{KEY}/gameserver/x/poll")
    health = (await modapi.call("GET", f"/k/{KEY}/health")).json()
    assert (health["ok"], health["identified"], health["gameServerId"]) == (True, True, "the-id")
    assert (health["pendingOperations"], health["pendingEvents"]) == (0, 0)
    assert health["lastPollAt"] and health["lastModContactAt"]


async def test_health_without_a_right_key_says_what_is_wrong(modapi: ModapiOfTwo) -> None:
    async def told(path: str) -> tuple[int, str]:
        answer = await modapi.call("GET", path)
        return answer.status_code, answer.json()["error"].partition(":")[0]

    assert await told("/health") == (401, "no key")  # two servers: whose health?
    assert await told("/k/no-such-key/health") == (401, "unknown key")
    modapi.served_instances.complete = lambda: False  # this may be the key of a stored server
    assert await told("/k/no-such-key/health") == (503, "the servers are not known yet")


async def test_a_repeat_is_recognised_although_some_of_it_could_not_be_read(modapi: ModapiOfTwo) -> None:
    first, more = b'{"type":"log","msg":"a"},5,{"type":"log","msg":"b"}', b',6,{"type":"log","msg":"c"}'
    stream = EventStream(modapi.store, modapi.slug)
    await _post_unheard(modapi, b"[" + first + b"]")
    await modapi.call("POST", f"/k/{KEY}{EVENTS}", content=b"[" + first + more + b"]")
    stored = [e["data"]["msg"] for entry in await stream.read("", 100) for e in entry.events]
    assert stored == ["a", "b", "c"]


async def _post_unheard(modapi: ModapiOfTwo, body: bytes) -> None:
    """A POST that is stored by a modapi that is killed before it answers."""
    state = InstanceData(modapi.store, modapi.slug)
    intake = EventIntake(
        EventStream(modapi.store, modapi.slug), state, Roster(), ModapiMetrics(CollectorRegistry())
    )
    await intake.take(body, time.monotonic())


async def test_a_call_that_our_code_fails_on_is_answered_and_logged_once(
    modapi: ModapiOfTwo, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError("nobody has foreseen this")

    monkeypatch.setattr(EventIntake, "take", fails)
    with without_repetitions(caplog):
        answers = [await modapi.call("POST", f"/k/{KEY}{EVENTS}", content=LOG) for _ in range(3)]
    assert {(answer.status_code, "its log says more" in answer.text) for answer in answers} == {(500, True)}
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert getattr(record, "instance", "") == modapi.slug


async def test_a_mod_can_register_though_its_id_cannot_be_read(
    modapi: ModapiOfTwo, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(state: InstanceData) -> LinkInfo:
        raise ZeroDivisionError("nobody has foreseen this")

    monkeypatch.setattr(InstanceData, "link", fails)
    answer = await modapi.call("POST", f"/k/{KEY}/gameserver/register", content=b"{}")
    assert answer.status_code == 200 and answer.json()["gameServerId"]


async def test_a_removed_server_may_still_post_results_of_commands_that_it_fetched(
    modapi: ModapiOfTwo, store: Store
) -> None:
    modapi.served_instances.results_taken_for_s = 4.0
    commands = CommandStream(store, modapi.slug)
    for action in (Action.GET_PLAYERS, Action.LIST_BANS):
        asked = Command(new_operation_id(action), action, {})
        assert await commands.enqueue(asked, time.monotonic() + HAND_OUT_WITHIN_S)
    first, second = (command.operation_id for command in await commands.take())
    modapi.serve(an_instance(modapi.other, "key-of-the-other-server"))
    body = b'{"ok":true,"result":[]}'

    async def bring(operation_id: str) -> int:
        path = f"/k/{KEY}/gameserver/local/operation/{operation_id}/result"
        return (await modapi.call("POST", path, content=body)).status_code

    assert (await modapi.call("GET", f"/k/{KEY}/gameserver/local/poll")).status_code == 401
    assert (await modapi.call("POST", f"/k/{KEY}{EVENTS}", content=LOG)).status_code == 401
    assert await bring(first) == 200
    assert [operation_id for _, operation_id, _ in await commands.results("", 10)] == [first]
    await until(lambda: bring(second), met=lambda status: status != 200)
