"""The status page over HTTP: who may see it, what its forms need, what it shows and answers."""

import asyncio
import re
import time
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest
from fastapi import FastAPI
from itsdangerous import TimestampSigner
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.modapi.admin.context import AdminContext
from services.modapi.fleet.watched_activity import WatchedActivity
from services.modapi.metrics import ModapiMetrics
from services.modapi.page import server
from services.modapi.page.access import SESSION_S
from services.modapi.page.routes import add_page
from services.relay.instances import diagnosis
from services.relay.instances.activity import ActivityEntry, publish
from services.relay.instances.dead_letters import DeadLetters
from services.relay.instances.definitions import DefinedInstance
from services.relay.instances.directory import Directory
from services.relay.instances.facts import InstanceData, LinkInfo
from services.relay.instances.registry import Registry
from services.relay.instances.wrong_keys import WrongKeyCalls
from services.relay.protocol.keys import keys_of
from services.relay.protocol.records import GameEvent
from services.relay.service.faults import OwnFaults
from services.relay.service.lifecycle import cancelled
from services.relay.service.settings import Instance, ModApi, Settings
from services.relay.store.client import Store
from services.relay.store.event_stream import EventStream
from services.relay.store.repeats import digest
from services.relay.store.stream_entries import EventBatch, PostedEvent
from tests.support.sse import AppClient, Stream
from tests.support.stored_instances import forget_instances
from tests.support.waiting import until

TOKEN = "admin-token-0123456789"
LOCAL = "http://127.0.0.1:9088"
HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(1)">'
LOG = orjson.dumps({"type": "log", "msg": "now it can be read"})
KEY = "mod-key-of-the-file-0123456789"
BROKEN = orjson.dumps({"type": HOSTILE, "msg": HOSTILE})


@asynccontextmanager
async def page(
    store: Store,
    slug: str,
    token: str | None = TOKEN,
    admin_host: str = "127.0.0.1",
    base: str = LOCAL,
    others: tuple[str, ...] = (),
    served: tuple[str, ...] | None = None,
    mod_keys: tuple[str, ...] = (f"{KEY}-of-all",),
    registry: CollectorRegistry | None = None,
) -> AsyncIterator[AppClient]:
    """The page of servers of relay.toml: of `slug` and `others`, or of those that are `served`."""
    served_instances = tuple(
        Instance(
            slug=one,
            name="A server",
            identity_token=SecretStr(f"identity-{one}"),
            mod_keys=tuple(SecretStr(key) for key in mod_keys),
        )
        for one in (served if served is not None else (slug, *others))
    )
    modapi = ModApi(admin_token=SecretStr(token) if token else None, admin_host=admin_host)
    settings = Settings(instances=served_instances, modapi=modapi)
    directory = Directory(settings, None, {}, store, lambda _: None)
    pages = FastAPI(openapi_url=None)
    metrics = ModapiMetrics(registry or CollectorRegistry())
    context = AdminContext(directory, store, settings, metrics)
    add_page(pages, context)
    tasks = [asyncio.create_task(context.fleet.run()), asyncio.create_task(directory.watch(lambda _: None))]
    await directory.complete.wait()
    async with AppClient(pages, base_url=base) as client:
        yield client
    for task in tasks:
        await cancelled(task)


async def log_in(client: httpx.AsyncClient, token: str = TOKEN, **more: str) -> httpx.Response:
    return await client.post("/login", data={"token": token, **more})


async def form_key(client: httpx.AsyncClient, slug: str) -> str:
    text = (await client.get(f"/instance/{slug}")).text
    return text.partition('name="key" value="')[2].partition('"')[0]


async def add_dead_letter(store: Store, slug: str, raw: bytes, reason: str = "unknown-type") -> str:
    fields = ("reason", reason, "detail", f"type: {HOSTILE}", "raw", raw)
    id: bytes = await store.send("XADD", keys_of(slug).dead, "*", *fields)
    return id.decode()


def paths(slug: str) -> list[tuple[str, str]]:
    return [
        *(("GET", path) for path in ("/", "/live", f"/instance/{slug}", f"/instance/{slug}/live")),
        *(("POST", path) for path in (f"/instance/{slug}/dead/1-1/retry", "/logout")),
    ]


# Access


async def test_without_the_token_nothing_is_shown(store: Store, slug: str) -> None:
    async with page(store, slug) as client:
        for method, path in paths(slug):
            for headers in ({}, {"authorization": "Bearer wrong"}, {"cookie": "dayz_relay_session=1.2.3"}):
                answer = await client.request(method, path, headers=headers)
                assert answer.status_code in (303, 401), (method, path)
                assert slug not in answer.text
                if answer.status_code == 303:
                    assert answer.headers["location"].startswith("/login?next=/")


async def test_the_login_opens_the_page_and_the_logout_closes_it(store: Store, slug: str) -> None:
    async with page(store, slug) as client:
        answer = await log_in(client, next=f"/instance/{slug}")
        assert (answer.status_code, answer.headers["location"]) == (303, f"/instance/{slug}")
        cookie = answer.headers["set-cookie"]
        assert "httponly" in cookie.lower() and "samesite=strict" in cookie.lower() and TOKEN not in cookie
        assert (await client.get("/")).status_code == 200
        key = await form_key(client, slug)
        assert (await client.post("/logout", data={"key": key})).headers["location"] == "/login"
        assert (await client.get("/")).status_code == 303


async def test_a_session_lasts_its_time_and_no_longer(
    store: Store, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with page(store, slug) as client:
        await log_in(client)
        now_s = int(time.time())
        for later_s, status in ((SESSION_S - 60, 200), (SESSION_S + 60, 303), (-60, 303)):
            monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _, at_s=now_s + later_s: at_s)
            assert (await client.get("/")).status_code == status, later_s


async def test_every_modapi_with_the_same_token_knows_a_session_and_none_with_another(
    store: Store, slug: str
) -> None:
    async with page(store, slug) as client:
        cookie = (await log_in(client)).headers["set-cookie"].partition(";")[0]
    for token, status in ((TOKEN, 200), (f"{TOKEN}-another", 303)):
        async with page(store, slug, token=token) as client:
            assert (await client.get("/", headers={"cookie": cookie})).status_code == status
            among = f"theme=dark; {cookie}; x=y"
            assert (await client.get("/", headers={"cookie": among})).status_code == status


async def test_a_forged_or_changed_session_is_refused(store: Store, slug: str) -> None:
    async with page(store, slug) as client:
        cookie = (await log_in(client)).headers["set-cookie"].partition(";")[0]
        client.cookies.clear()
        name, _, value = cookie.partition("=")
        payload, _, signature = value.partition(".")
        others = [
            value[:place] + other + value[place + 1 :] for place in range(len(value) - 1) for other in "xA"
        ]
        made_up = [
            "",
            ".",
            "..",
            "null",
            "1.2.3",
            payload,
            f".{signature}",
            f"{payload}.",
            ";;;=",
            "\x7f\xff",
        ]
        for presented in made_up + [other for other in others if other != value]:
            answer = await client.get("/", headers={b"cookie": f"{name}={presented}".encode("latin-1")})
            assert answer.status_code == 303, presented


async def test_the_session_does_not_show_the_token_and_the_page_not_the_session(
    store: Store, slug: str
) -> None:
    async with page(store, slug) as client:
        value = (await log_in(client)).headers["set-cookie"].partition(";")[0].partition("=")[2]
        assert TOKEN.encode() not in b64decode(value.partition(".")[0] + "==")
        assert value not in (await client.get("/")).text


async def test_behind_tls_the_cookie_is_for_tls_only(store: Store, slug: str) -> None:
    async with page(store, slug) as client:
        answer = await client.post("/login", data={"token": TOKEN}, headers={"x-forwarded-proto": "https"})
        assert "; secure" in answer.headers["set-cookie"].lower()


async def test_a_bearer_needs_no_login(store: Store, slug: str) -> None:
    async with page(store, slug) as client:
        answer = await client.get("/", headers={"authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 200 and slug in answer.text


@pytest.mark.parametrize(
    "next", ["//evil.example", "https://evil.example", "/\\evil.example", "/api/instances"]
)
async def test_the_login_leads_only_to_pages_of_ours(store: Store, slug: str, next: str) -> None:
    async with page(store, slug) as client:
        assert (await log_in(client, next=next)).headers["location"] == "/"


async def test_a_token_may_be_pasted_with_the_white_space_around_it(store: Store, slug: str) -> None:
    async with page(store, slug) as client:
        assert (await log_in(client, f"    {TOKEN} \n")).status_code == 303


async def test_too_many_wrong_tokens_are_refused_and_the_right_one_never(store: Store, slug: str) -> None:
    registry = CollectorRegistry()
    async with page(store, slug, registry=registry) as client:
        answers = [(await log_in(client, "wrong")).status_code for _ in range(80)]
        assert answers[0] == 401 and answers[-1] == 429
        assert (await log_in(client)).status_code == 303
    assert registry.get_sample_value("dayz_relay_wrong_admin_tokens_total") == 80


async def test_a_login_from_another_site_is_refused(store: Store, slug: str) -> None:
    async with page(store, slug) as client:
        for headers in (
            {"origin": "https://evil.example"},
            {"sec-fetch-site": "cross-site"},
            {"origin": "null"},
            {"origin": "http://["},
        ):
            answer = await client.post("/login", data={"token": TOKEN}, headers=headers)
            assert answer.status_code == 403


async def test_a_form_behind_a_proxy_that_changes_the_host_says_what_the_proxy_must_do(
    store: Store, slug: str
) -> None:
    async with page(store, slug) as client:
        headers = {"origin": "https://relay.example", "sec-fetch-site": "same-origin"}
        answer = await client.post("/login", data={"token": TOKEN}, headers=headers)
    assert answer.status_code == 403 and "proxy_set_header Host" in answer.text


async def test_without_a_configured_token_only_this_machine_sees_it(store: Store, slug: str) -> None:
    async with page(store, slug, token=None) as client:
        assert (await client.get("/")).status_code == 200
        for headers in (
            {"host": "evil.example:9088"},  # a foreign name that points to 127.0.0.1
            {"host": "localhost.evil.example"},
            {"x-forwarded-for": "203.0.113.9"},  # a proxy that forwards other machines
        ):
            answer = await client.get("/", headers=headers)
            assert answer.status_code == 403 and "admin_token" in answer.text and slug not in answer.text


async def test_without_a_configured_token_no_other_machine_is_served(store: Store, slug: str) -> None:
    async with page(store, slug, token=None, admin_host="0.0.0.0") as client:
        answer = await client.get("/")
        assert answer.status_code == 403 and "admin_token" in answer.text


async def test_every_answer_is_hardened(store: Store, slug: str) -> None:
    async with page(store, slug) as client:
        await log_in(client)
        for path in ("/", "/login", "/nothing", f"/instance/{slug}", "/instance/none"):
            headers = (await client.get(path)).headers
            policy = headers["content-security-policy"]
            assert (
                "default-src 'none'" in policy
                and "unsafe" not in policy
                and "frame-ancestors 'none'" in policy
            )
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"


# What is shown


async def test_the_table_and_the_page_show_what_is_known(store: Store, slug: str) -> None:
    keys = keys_of(slug)
    await InstanceData(store, slug).write_link(LinkInfo("ready", "id-of-takaro"))
    await store.send("HSET", keys.lease, "token", "t", "uplink", "host-7")
    await store.send("SET", keys.contact, int(time.time() * 1000))
    await store.send("HSET", keys.mirror, "players", 17)
    await store.send("HSET", keys.mod, "version", f"1.2{HOSTILE}", "hold_ms", 4700)
    async with page(store, slug) as client:
        await log_in(client)
        for path in ("/", f"/instance/{slug}"):
            text = (await client.get(path)).text
            for known in ("host-7", "17", "linked", "just now", "held 4.7 s", "1.2&lt;script&gt;"):
                assert known in text, (path, known)
            assert "<script>" not in text
        assert "id-of-takaro" in text


async def test_a_call_with_a_wrong_key_is_shown_once_while_a_mod_is_missing(store: Store, slug: str) -> None:
    await store.send("DEL", "relay:unknown-keys")
    WrongKeyCalls(store).note("203.0.113.9")
    async with page(store, slug) as client:
        await log_in(client)
        text = (await client.get("/")).text
        assert text.count("203.0.113.9") == 1 and "opens no server come from 203.0.113.9" in text
    await store.send("DEL", "relay:unknown-keys")


async def test_a_command_is_shown_with_the_name_of_its_player(store: Store, slug: str) -> None:
    known = orjson.dumps({"gameId": "76561198000000001", "name": "Bob"})
    await store.send("HSET", keys_of(slug).players, "76561198000000001", known)
    watched = WatchedActivity(store, slug, OwnFaults())
    kick = ActivityEntry("command", 1, "kickPlayer", {"gameId": "76561198000000001"}, "answered", 5)

    def shown() -> bool:
        publish(store, slug, "a run", [(1, kick)])  # it is lost until somebody has subscribed
        return bool(watched.entries)

    await until(shown)
    await watched.close()
    assert "<bdi>Bob</bdi>" in server.activity(watched.entries)["commands"]


async def test_the_setup_help_is_open_until_the_mod_has_called(store: Store, slug: str) -> None:
    async with page(store, slug) as client:
        await log_in(client)
        text = (await client.get(f"/instance/{slug}")).text
        assert '<details class="setup" open>' in text
        assert "http://127.0.0.1:8088" in text and "EventBatchIntervalMs" in text


async def test_an_unknown_address_is_404_and_leads_back(store: Store, slug: str) -> None:
    async with page(store, slug) as client:
        await log_in(client)
        for path in ("/instance/none", "/instance/none/live", "/nothing", "/assets/x/..%2f..%2fmain.py"):
            assert (await client.get(path)).status_code == 404
        assert '<a href="/">All servers</a>' in (await client.get("/instance/none")).text


async def test_every_footer_shows_version_store_and_uplinks(store: Store, slug: str) -> None:
    await store.send("HSET", keys_of(slug).lease, "token", "t", "uplink", "host-7")
    async with page(store, slug) as client:
        await log_in(client)
        for path in ("/", f"/instance/{slug}"):
            _, _, footer = (await client.get(path)).text.partition("<footer>")
            assert re.match(r"dayz-relay \d\S+ · 1 uplink <details>.*</summary>\w+.+</details>", footer)


async def test_without_redis_the_page_is_503_with_the_reason(slug: str) -> None:
    away = Store("redis://127.0.0.1:1/0")
    settings = Settings(
        instances=(Instance(slug=slug, name="A server", identity_token=SecretStr("identity-1")),)
    )
    directory = Directory(settings, None, {}, away, lambda _: None)
    following = asyncio.create_task(directory.watch(lambda _: None))
    pages = FastAPI(openapi_url=None)
    metrics = ModapiMetrics(CollectorRegistry())
    add_page(pages, AdminContext(directory, away, settings, metrics))
    await asyncio.sleep(0)
    async with AppClient(pages, base_url=LOCAL) as client:
        answer = await client.get("/")
    assert answer.status_code == 503 and "Redis is away" in answer.text
    await cancelled(following)
    await away.close()


# Dead letters


async def test_a_dead_letter_is_shown_escaped_with_its_reason(store: Store, slug: str) -> None:
    await add_dead_letter(store, slug, BROKEN)
    async with page(store, slug) as client:
        await log_in(client)
        text = (await client.get(f"/instance/{slug}")).text
    assert "unknown-type" in text and "&lt;script&gt;" in text
    assert "<script>" not in text and "<img src=x" not in text


async def test_a_retry_accepts_the_event_and_deletes_the_dead_letter(store: Store, slug: str) -> None:
    id = await add_dead_letter(store, slug, LOG)
    async with page(store, slug) as client:
        await log_in(client)
        key = await form_key(client, slug)
        answer = await client.post(f"/instance/{slug}/dead/{id}/retry", data={"key": key})
        assert answer.headers["location"] == f"/instance/{slug}?taken=1#dead-title"
        assert "1 on the way to Takaro" in (await client.get(answer.headers["location"])).text
    assert await DeadLetters(store, slug).newest(10) == []
    [entry] = await EventStream(store, slug).read("", 10)
    assert entry.events[0]["data"]["msg"] == "now it can be read"


async def test_several_retries_at_once_deliver_the_event_once(store: Store, slug: str) -> None:
    async with page(store, slug) as client:
        await log_in(client)
        for times in (1, 2):
            id = await add_dead_letter(store, slug, LOG)
            key = await form_key(client, slug)
            path = f"/instance/{slug}/dead/{id}/retry"
            await asyncio.gather(*(client.post(path, data={"key": key}) for _ in range(3)))
            assert sum(len(entry.events) for entry in await EventStream(store, slug).read("", 10)) == times


async def test_an_event_that_is_still_wrong_becomes_a_new_dead_letter(store: Store, slug: str) -> None:
    id = await add_dead_letter(store, slug, BROKEN)
    async with page(store, slug) as client:
        await log_in(client)
        key = await form_key(client, slug)
        answer = await client.post(f"/instance/{slug}/dead/{id}/retry", data={"key": key})
    assert "?dead_again=1#" in answer.headers["location"]
    [letter] = await DeadLetters(store, slug).newest(10)
    assert letter.id != id and letter.raw == BROKEN


@pytest.mark.parametrize(
    ("raw", "reason", "why"),
    [(b"[]", "refused-by-takaro", "does not say which"), (b"x" * 2_000, "event-too-large", "only its first")],
)
async def test_a_dead_letter_that_cannot_be_retried_says_why(
    store: Store, slug: str, raw: bytes, reason: str, why: str
) -> None:
    id = await add_dead_letter(store, slug, raw, reason)
    async with page(store, slug) as client:
        await log_in(client)
        assert why in (await client.get(f"/instance/{slug}")).text
        key = await form_key(client, slug)
        answer = await client.post(f"/instance/{slug}/dead/{id}/retry", data={"key": key})
    assert "?not_possible=1#" in answer.headers["location"]
    assert len(await DeadLetters(store, slug).newest(10)) == 1


async def test_a_drop_deletes_one_dead_letter(store: Store, slug: str) -> None:
    one, other = await add_dead_letter(store, slug, LOG), await add_dead_letter(store, slug, LOG)
    async with page(store, slug) as client:
        await log_in(client)
        key = await form_key(client, slug)
        await client.post(f"/instance/{slug}/dead/{one}/drop", data={"key": key})
    assert [letter.id for letter in await DeadLetters(store, slug).newest(10)] == [other]
    assert await EventStream(store, slug).read("", 10) == []


async def test_all_dead_letters_are_retried_in_the_order_in_which_they_came(store: Store, slug: str) -> None:
    for raw in (LOG, BROKEN, LOG.replace(b"now", b"later"), LOG):
        await add_dead_letter(store, slug, raw)
    async with page(store, slug) as client:
        await log_in(client)
        key = await form_key(client, slug)
        answer = await client.post(f"/instance/{slug}/dead/all/retry", data={"key": key})
        shown = (await client.get(answer.headers["location"])).text
    assert "3 on the way to Takaro; 1 could not be repaired this time either" in shown
    assert [letter.raw for letter in await DeadLetters(store, slug).newest(10)] == [BROKEN]
    entries = await EventStream(store, slug).read("", 10)
    said = [event["data"]["msg"] for entry in entries for event in entry.events]
    assert said == ["now it can be read", "later it can be read", "now it can be read"]


async def test_all_dead_letters_are_dropped_by_a_form_that_has_to_be_opened_first(
    store: Store, slug: str
) -> None:
    for _ in range(30):
        await add_dead_letter(store, slug, LOG)
    async with page(store, slug) as client:
        await log_in(client)
        text = (await client.get(f"/instance/{slug}")).text
        assert text.index('<details class="all">') < text.index("/dead/all/drop")
        key = await form_key(client, slug)
        answer = await client.post(f"/instance/{slug}/dead/all/drop", data={"key": key})
        assert "30 dropped" in (await client.get(answer.headers["location"])).text
    assert await DeadLetters(store, slug).newest(10) == []


async def test_older_dead_letters_have_pages_of_their_own(store: Store, slug: str) -> None:
    ids = [await add_dead_letter(store, slug, LOG) for _ in range(25)]
    async with page(store, slug) as client:
        await log_in(client)
        first = (await client.get(f"/instance/{slug}")).text
        second = (await client.get(f"/instance/{slug}?before={ids[5]}")).text
        digits_of_another_script = await client.get(f"/instance/{slug}?before=\u0661-\u0660")
    assert f"before={ids[5]}" in first
    assert [f'"letter-{id}"' in first for id in ids] == [False] * 5 + [True] * 20
    assert [f'"letter-{id}"' in second for id in ids] == [True] * 5 + [False] * 20
    assert digits_of_another_script.status_code == 200


async def test_a_form_without_the_key_of_its_session_does_nothing(store: Store, slug: str) -> None:
    id = await add_dead_letter(store, slug, LOG)
    path = f"/instance/{slug}/dead/{id}/drop"
    async with page(store, slug) as client:
        await log_in(client)
        key = await form_key(client, slug)
        for data, headers in (
            ({}, {}),
            ({"key": "0" * 64}, {}),
            ({"key": key}, {"origin": "https://evil.example"}),
            ({"key": key}, {"sec-fetch-site": "same-site"}),
        ):
            assert (await client.post(path, data=data, headers=headers)).status_code == 403
        assert (await client.get(path)).status_code == 405
        client.cookies.clear()
        await log_in(client)  # another session
        assert (await client.post(path, data={"key": key})).status_code == 403
    assert len(await DeadLetters(store, slug).newest(10)) == 1


async def test_without_a_configured_token_forms_need_their_key_too(store: Store, slug: str) -> None:
    id = await add_dead_letter(store, slug, LOG)
    path = f"/instance/{slug}/dead/{id}/drop"
    async with page(store, slug, token=None) as client:
        assert (await client.post(path)).status_code == 403
        key = await form_key(client, slug)
        assert (await client.post(path, data={"key": key})).status_code == 303


async def test_without_a_configured_token_forms_work_after_a_restart_of_the_relay(
    store: Store, slug: str
) -> None:
    async with page(store, slug, token=None) as client:
        data = {"key": await form_key(client, slug)}
    id = await add_dead_letter(store, slug, LOG)
    async with page(store, slug, token=None) as client:
        assert (await client.post(f"/instance/{slug}/dead/{id}/drop", data=data)).status_code == 303


async def test_a_form_beyond_its_size_is_refused(store: Store, slug: str) -> None:
    async with page(store, slug) as client:
        assert (await log_in(client, "x" * 10_000)).status_code == 413


async def test_a_message_may_be_as_long_in_chinese_as_in_english(store: Store, slug: str) -> None:
    async with page(store, slug) as client:
        await log_in(client)
        data = {"key": await form_key(client, slug), "text": "語" * 501}
        answer = await client.post(f"/instance/{slug}/say", data=data)
        assert answer.status_code == 422 and "500 characters" in answer.text


async def test_a_server_that_cannot_be_diagnosed_does_not_hide_the_others(
    store: Store, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(entry: DefinedInstance, *others: Any) -> list[Any]:
        if entry.instance.slug == f"{slug}-odd":
            raise RuntimeError("by a fault of ours")
        return diagnosis.diagnose(entry, *others)

    monkeypatch.setattr("services.modapi.fleet.view.diagnose", failing)
    async with page(store, slug, others=(f"{slug}-odd",)) as client:
        answer = await client.get("/", headers={"authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 200
        assert f"/instance/{slug}" in answer.text and f"{slug}-odd" not in answer.text


async def test_waiting_events_are_shown_before_there_is_a_registration_token(store: Store, slug: str) -> None:
    event: GameEvent = {"type": "log", "data": {"msg": "the game says this"}}
    await EventStream(store, slug).append(EventBatch([PostedEvent(digest(event), event)] * 44))
    async with page(store, slug) as client:
        await log_in(client)
        text = (await client.get(f"/instance/{slug}")).text
    assert "44 in the last hour, 0 delivered" in text
    assert text.count("the game says this") == 44 and text.count("waiting for Takaro") == 44


async def test_an_accepted_event_is_shown_at_once_as_waiting(store: Store, slug: str) -> None:
    await InstanceData(store, slug).write_link(LinkInfo("ready", "id-of-takaro"))
    await store.send("HSET", keys_of(slug).lease, "token", "t", "uplink", "host-7")
    async with page(store, slug) as client:
        await log_in(client)
        event: GameEvent = {"type": "log", "data": {"msg": "it has just come"}}
        await EventStream(store, slug).append(EventBatch([PostedEvent(digest(event), event)]))
        assert "waiting for Takaro" in (await client.get(f"/instance/{slug}")).text


async def test_the_open_page_of_a_server_ends_when_the_server_is_removed(store: Store, slug: str) -> None:
    await forget_instances(store)
    registry = Registry(store, tuple)
    await registry.create("one", "Server one")
    async with page(store, slug) as client:
        stream = Stream(client.app, "/instance/one/live", authorization=f"Bearer {TOKEN}")
        await stream.until(bool)
        await registry.remove("one", purge=True)
        await stream.ended()
    await forget_instances(store)


async def test_an_open_page_counts_as_a_stream_and_receives_changes(store: Store, slug: str) -> None:
    registry = CollectorRegistry()
    async with page(store, slug, registry=registry) as client:
        for path in ("/live", f"/instance/{slug}/live"):
            stream = Stream(client.app, path, authorization=f"Bearer {TOKEN}")
            sent = await stream.until(bool)
            assert (sent[0].name, sent[0].data["id"]) == ("fragment", "notes")
            assert registry.get_sample_value("dayz_relay_api_streams") == 1
            await stream.hang_up()
            assert registry.get_sample_value("dayz_relay_api_streams") == 0
