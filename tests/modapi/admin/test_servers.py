"""`/api/v1`: who is let in, what is shown of servers, what each call does, and how errors read."""

import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from services.modapi.admin.models import ServerCause, ServerState
from services.modapi.admin.problems import RAISED, ErrorCode
from services.modapi.admin.tokens import FRESH_S
from services.relay.instances.directory import Directory
from services.relay.instances.facts import InstanceData, LinkInfo, note_failed
from services.relay.instances.wrong_keys import WrongKeyCalls
from services.relay.protocol.keys import ADMIN_TOKENS, keys_of
from services.relay.store.client import Store
from services.relay.store.leases import Lease
from tests.modapi.admin.conftest import FILE, TOKEN, client
from tests.support.redis_server import RedisServer
from tests.support.stored_instances import forget_instances
from tests.support.waiting import until

JSON = {"content-type": "application/json"}


async def create(api: httpx.AsyncClient, slug: str = "one", **more: Any) -> dict[str, Any]:
    answer = await api.post("/api/v1/servers", json={"slug": slug, "name": f"Server {slug}", **more})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def code(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert (
        problem["status"] == answer.status_code and problem["title"] and problem["detail"] and problem["fix"]
    )
    found: str = problem["code"]
    return found


async def test_the_description_is_open_and_names_every_call_once(api: httpx.AsyncClient) -> None:
    answer = await api.get("/api/v1/openapi.json", headers={"authorization": ""})
    described = answer.json()
    assert described["openapi"].startswith("3.1.")
    ids = [call["operationId"] for calls in described["paths"].values() for call in calls.values()]
    assert {"list_servers", "get_server", "create_server", "rotate_mod_key", "get_fleet"} <= set(ids)
    assert len(ids) == len(set(ids))
    for calls in described["paths"].values():
        for call in calls.values():
            assert call["summary"] and call["description"] and call["tags"]
            assert "application/problem+json" in call["responses"]["401"]["content"]


def test_each_error_has_a_status_and_a_fix_and_each_exception_a_code() -> None:
    assert all(code.status >= 400 and code.fix for code in ErrorCode)
    assert set(RAISED.values()) <= set(ErrorCode)


@pytest.mark.parametrize("headers", [{"authorization": ""}, {"authorization": f"Basic {TOKEN}"}])
async def test_without_a_token_nobody_gets_in(api: httpx.AsyncClient, headers: dict[str, str]) -> None:
    answer = await api.get("/api/v1/servers", headers=headers)
    assert (answer.status_code, code(answer)) == (401, "wrong_token")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "after `Bearer`" in answer.json()["detail"] and "*" not in answer.json()["detail"]


async def test_a_wrong_token_is_counted_and_logged_with_its_address(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    registry = CollectorRegistry()
    made, _ = client(store, TOKEN, registry=registry)
    async with made:
        for token in ("a-guessed-token", TOKEN):
            await made.get("/api/v1/tokens", headers={"authorization": f"Bearer {token}"})
    [line] = [record.getMessage() for record in caplog.records if "admin token" in record.getMessage()]
    assert "from 127.0.0.1: " in line and "guessed" not in caplog.text
    assert registry.get_sample_value("dayz_relay_wrong_admin_tokens_total") == 1


async def test_where_there_is_no_token_the_answer_says_how_to_set_one(store: Store) -> None:
    await store.send("DEL", ADMIN_TOKENS)
    made, _ = client(store, None)
    async with made:
        answer = await made.get("/api/v1/servers")
    assert code(answer) == "no_token" and "admin_token" in answer.json()["detail"]


async def test_a_token_that_was_made_counts_where_no_admin_token_is_set(
    api: httpx.AsyncClient, store: Store
) -> None:
    stored = (await api.post("/api/v1/tokens", json={"name": "panel", "role": "read"})).json()["token"]
    made, _ = client(store, None)
    async with made:
        made.headers["authorization"] = f"Bearer {stored}"
        assert (await made.get("/api/v1/servers")).status_code == 200
        assert code(await made.post("/api/v1/servers/one/disable")) == "read_only_token"
        made.headers["authorization"] = f"Bearer {TOKEN}"
        assert code(await made.get("/api/v1/servers")) == "wrong_token"


async def test_the_local_token_may_do_everything(store: Store, api: httpx.AsyncClient) -> None:
    made, _ = client(store, None, TOKEN)
    async with made:
        created = await create(made)
        rotated = [
            (await made.post("/api/v1/servers/one/rotate", headers={"idempotency-key": "1"})).json()
            for _ in range(2)
        ]
        assert rotated[0]["mod_key"] == rotated[1]["mod_key"] != created["mod_key"]


@pytest.mark.parametrize("headers", [{"cookie": f"dayz_relay_session={TOKEN}"}, {}])
async def test_a_page_in_a_browser_cannot_use_the_api(store: Store, headers: dict[str, str]) -> None:
    made, _ = client(store, None, TOKEN)
    async with made:
        del made.headers["authorization"]
        headers["origin"] = "http://elsewhere"
        answer = await made.get("/api/v1/servers", headers=headers)
        asked = {"access-control-request-method": "GET", "access-control-request-headers": "authorization"}
        preflight = await made.options("/api/v1/servers", headers=headers | asked)
    for one in (answer, preflight):
        assert one.status_code == 401
        assert not [name for name in one.headers if name.startswith("access-control")]


async def test_a_created_server_comes_with_what_its_mod_needs(api: httpx.AsyncClient, store: Store) -> None:
    created = await create(api, external_id="panel-17")
    assert created["server"]["external_id"] == "panel-17"
    assert created["mod_key"] in created["mod_config"]
    assert created["mod_config_path"] == "profiles/TakaroIntegration/config.json"
    assert created["identity_token"]
    shown = (await api.get("/api/v1/servers/one")).text
    assert created["mod_key"] not in shown and created["identity_token"] not in shown


async def test_a_server_shows_its_state_its_cause_and_how_to_mend_it(api: httpx.AsyncClient) -> None:
    await create(api, registration_token="a-registration-token")
    server = (await api.get("/api/v1/servers/one")).json()
    assert (server["state"], server["cause"], server["origin"]) == ("down", "no_owner", "api")
    codes = [problem["code"] for problem in server["problems"]]
    assert codes == ["never_called", "no_owner"]
    assert all(problem["text"] and problem["fix"] and problem["serious"] for problem in server["problems"])
    assert server["mod"]["last_contact"] is None and server["players_online"] is None


async def test_one_server_alone_shows_that_its_mod_calls_with_a_wrong_key(
    api: httpx.AsyncClient, store: Store, watched: None
) -> None:
    await store.send("DEL", "relay:unknown-keys")
    WrongKeyCalls(store).note("203.0.113.9", FILE.slug)
    await until(WrongKeyCalls(store).all)
    problems = (await api.get(f"/api/v1/servers/{FILE.slug}")).json()["problems"]
    await store.send("DEL", "relay:unknown-keys")
    assert "wrong_key" in [one["code"] for one in problems], problems


async def test_a_server_that_is_up_shows_its_link(api: httpx.AsyncClient, store: Store) -> None:
    await create(api, registration_token="a-registration-token")
    await InstanceData(store, "one").write_link(LinkInfo("ready", "game-server-id"))
    link = (await api.get("/api/v1/servers/one")).json()["link"]
    assert (link["state"], link["owner"]) == ("", "")  # an uplink wrote it that is gone
    await Lease(store, "one", "uplink-1").renew()
    await store.send("SET", keys_of("one").contact, (await store.read_clock("any")) // 1000)
    server = (await api.get("/api/v1/servers/one")).json()
    assert (server["state"], server["cause"], server["problems"]) == ("up", "up", [])
    link = {"state": "ready", "why": "", "game_server_id": "game-server-id", "owner": "uplink-1"}
    assert server["link"] == link
    assert server["mod"]["silent_s"] < 30


async def test_a_change_changes_what_it_names_and_null_takes_it_away(api: httpx.AsyncClient) -> None:
    await create(api, registration_token="own", external_id="x")
    changed = (await api.patch("/api/v1/servers/one", json={"name": "Renamed"})).json()["server"]
    assert (changed["name"], changed["external_id"]) == ("Renamed", "x")
    assert changed["has_registration_token"]
    body = {"external_id": None, "registration_token": None}
    changed = (await api.patch("/api/v1/servers/one", json=body)).json()["server"]
    assert (changed["name"], changed["external_id"]) == ("Renamed", None)
    assert not changed["has_registration_token"]


async def test_a_disabled_server_is_enabled_again(api: httpx.AsyncClient) -> None:
    await create(api)
    disabled = (await api.post("/api/v1/servers/one/disable")).json()["server"]
    assert (disabled["state"], disabled["cause"], disabled["served"]) == ("disabled", "disabled", False)
    enabled = (await api.post("/api/v1/servers/one/enable")).json()["server"]
    assert enabled["served"] and enabled["state"] == "down"


async def test_a_rotation_during_an_overlap_is_refused_unless_it_is_forced(api: httpx.AsyncClient) -> None:
    first = await create(api)
    rotated = (await api.post("/api/v1/servers/one/rotate", json={"overlap_s": 60})).json()
    assert rotated["mod_key"] != first["mod_key"] and rotated["mod_key"] in rotated["mod_config"]
    assert [key["expires"] is None for key in rotated["server"]["mod_keys"]] == [False, True]
    refused = await api.post("/api/v1/servers/one/rotate")
    assert (refused.status_code, code(refused)) == (409, "rotation_under_way")
    forced = await api.post("/api/v1/servers/one/rotate", json={"force": True})
    assert forced.status_code == 200 and len(forced.json()["server"]["mod_keys"]) == 2


async def test_a_repeat_with_its_idempotency_key_gets_the_same_answer(api: httpx.AsyncClient) -> None:
    headers = {"idempotency-key": "call-1"}
    body = {"slug": "one", "name": "Server one"}
    first, again = [await api.post("/api/v1/servers", json=body, headers=headers) for _ in range(2)]
    assert first.json()["mod_key"] == again.json()["mod_key"]
    other = await api.post("/api/v1/servers", json=body | {"name": "Another"}, headers=headers)
    assert (other.status_code, code(other)) == (409, "idempotency_conflict")


async def test_a_deleted_server_is_gone(api: httpx.AsyncClient) -> None:
    await create(api)
    assert (await api.delete("/api/v1/servers/one")).status_code == 204
    answer = await api.get("/api/v1/servers/one")
    assert (answer.status_code, code(answer)) == (404, "server_not_found")


REFUSED: list[tuple[str, str, dict[str, Any], int, str, str]] = [
    ("GET", "/servers/nobody", {}, 404, "server_not_found", "there is no server nobody"),
    ("GET", "/nothing", {}, 404, "not_found", "there is no such call"),
    ("PUT", "/servers", {}, 405, "method_not_allowed", "there is no such call"),
    ("POST", "/servers", {"content": b"{}"}, 415, "unsupported_media_type", "content-type: application/json"),
    (
        "POST",
        "/servers",
        {"content": b'{"slug": "a",\n "name": }', "headers": JSON},
        400,
        "unreadable_json",
        "the body is no JSON: Expecting value in line 2, column 10",
    ),
    ("POST", "/servers", {"content": b'{"slug": "a\xff"}', "headers": JSON}, 400, "unreadable_json", "UTF-8"),
    (
        "POST",
        "/servers",
        {"content": b"[" * 60_000, "headers": JSON},
        400,
        "unreadable_json",
        "the body is no JSON",
    ),
    ("GET", "/servers/", {}, 404, "not_found", "there is no such call"),
    (
        "POST",
        "/servers",
        {"content": b"{" + b" " * 70_000 + b"}", "headers": JSON},
        413,
        "too_large",
        "65536 bytes",
    ),
    (
        "POST",
        "/servers",
        {"json": {"slug": "UP", "name": "Server"}},
        422,
        "invalid",
        "slug: must be 1 to 63 of",
    ),
    (
        "POST",
        "/servers",
        {"json": {"slug": "a", "name": "abc", "nmae": 1}},
        422,
        "invalid",
        "nmae: Extra inputs",
    ),
    ("POST", "/servers", {"json": {"slug": "of-file", "name": "abc"}}, 409, "conflict", "relay.toml"),
    ("GET", "/servers?limit=0", {}, 422, "invalid", "limit: must be greater"),
    ("GET", "/servers?cursor=%2A%2A", {}, 422, "invalid", "cursor: must match"),
    ("GET", "/servers?state=x", {}, 422, "invalid", "state: must be 'down', 'attention'"),
    ("POST", "/servers", {"json": {"slug": "a", "name": " \u3000  "}}, 422, "invalid", "name: must have 3"),
    ("POST", "/servers/one/messages", {"json": {"text": " "}}, 422, "invalid", "text: must not be blank"),
    (
        "POST",
        "/servers/one/messages",
        {"json": {"text": "x" * 501}},
        422,
        "invalid",
        "at most 500 characters",
    ),
]


@pytest.mark.parametrize(("method", "path", "sent", "status", "wanted", "detail"), REFUSED)
async def test_an_error_has_a_status_a_code_and_a_reason(
    api: httpx.AsyncClient,
    method: str,
    path: str,
    sent: dict[str, Any],
    status: int,
    wanted: str,
    detail: str,
) -> None:
    answer = await api.request(method, f"/api/v1{path}", **sent)
    assert (answer.status_code, code(answer)) == (status, wanted)
    assert detail in answer.json()["detail"]


async def test_a_refused_method_names_all_that_the_path_has(api: httpx.AsyncClient) -> None:
    for method, path, allowed in (
        ("PUT", "/servers", "GET, POST"),
        ("OPTIONS", "/servers/one", "DELETE, GET, PATCH"),
        ("GET", "/servers/one/rotate", "POST"),
    ):
        assert (await api.request(method, f"/api/v1{path}")).headers["allow"] == allowed


async def test_each_answer_says_that_a_relay_gave_it(api: httpx.AsyncClient) -> None:
    for path, token in (("/v1/fleet", TOKEN), ("/v1/fleet", "wrong"), ("/v1/openapi.json", ""), ("/x", "")):
        answer = await api.get(f"/api{path}", headers={"authorization": f"Bearer {token}"})
        assert answer.headers["x-dayz-relay"], path


async def test_a_fault_of_the_relay_is_a_problem_too(api: httpx.AsyncClient, store: Store) -> None:
    await store.send("HSET", ADMIN_TOKENS, "damaged", "{")
    answering, _ = client(store, TOKEN, raises=False)
    async with answering:
        answer = await answering.get("/api/v1/tokens")
    assert (answer.status_code, code(answer)) == (500, "fault")
    assert "damaged" not in answer.text


async def test_a_name_loses_the_white_space_that_was_pasted_with_it(api: httpx.AsyncClient) -> None:
    made = await create(api, name=" Livonia\u00a0PvE\n")
    assert made["server"]["name"] == "Livonia\u00a0PvE"


async def test_an_error_names_each_wrong_value_and_shows_none_of_them(api: httpx.AsyncClient) -> None:
    body = {"slug": "UP", "name": "ab", "identity_token": "secret\x07word"}
    answer = await api.post("/api/v1/servers", json=body)
    assert [one["place"] for one in answer.json()["errors"]] == ["slug", "name", "identity_token"]
    assert "secret" not in answer.text


async def test_until_the_servers_in_redis_are_followed_the_list_has_them_all_the_same(
    api: httpx.AsyncClient,
) -> None:
    await create(api)
    assert (await api.get("/api/v1/servers")).json()["total"] == 2
    assert (await api.get("/api/v1/fleet")).json()["total"] == 2


async def test_the_list_comes_in_pages_and_by_state_cause_and_text(
    api: httpx.AsyncClient, watched: None
) -> None:
    for slug in ("a", "b", "c"):
        await create(api, slug, registration_token="a-registration-token")
    await create(api, "no-token", disabled=True)

    async def listed(query: str = "") -> list[str]:
        return [one["slug"] for one in (await api.get(f"/api/v1/servers{query}")).json()["servers"]]

    await until(listed, met=lambda slugs: slugs == ["a", "b", "c", "no-token", "of-file"])
    assert await listed("?state=disabled") == ["no-token"]
    assert await listed("?state=no_owner") == ["a", "b", "c"]
    assert await listed("?state=down&q=SERVER%20b") == ["b"]
    first = (await api.get("/api/v1/servers?limit=2")).json()
    assert (first["total"], [one["slug"] for one in first["servers"]]) == (5, ["a", "b"])
    second = (await api.get(f"/api/v1/servers?limit=4&cursor={first['next_cursor']}")).json()
    assert [one["slug"] for one in second["servers"]] == ["c", "no-token", "of-file"]
    assert second["next_cursor"] is None
    counts = (await api.get("/api/v1/fleet")).json()
    assert counts["total"] == 5 and set(counts["states"]) == set(ServerState)
    assert (counts["states"]["disabled"], counts["causes"]["no_owner"]) == (1, 3)
    assert set(counts["causes"]) == set(ServerCause) and sum(counts["causes"].values()) == 5


@pytest.mark.usefixtures("watched")
async def test_a_new_server_is_in_the_next_list(
    api: httpx.AsyncClient, made: tuple[httpx.AsyncClient, Directory]
) -> None:
    for number in range(20):  # until the machine is quick enough for once
        begun_s = time.monotonic()
        await api.get("/api/v1/servers")
        slug = f"new-{number}"
        await api.post("/api/v1/servers", json={"slug": slug, "name": slug})
        await until(lambda slug=slug: slug in made[1].defined)
        listed = [one["slug"] for one in (await api.get("/api/v1/servers")).json()["servers"]]
        assert slug in listed
        if time.monotonic() - begun_s < 0.9:  # what was read once serves a second, unless there was a change
            break


async def test_the_relay_shows_its_version_and_its_store(api: httpx.AsyncClient, store: Store) -> None:
    relay = (await api.get("/api/v1/relay")).json()
    assert relay["version"] and relay["store"] == store.facts.summary()
    assert (relay["uplinks"], relay["settings_refused"], relay["restart_needed_for"]) == ([], "", [])


async def test_a_token_of_its_own_can_be_made_limited_and_deleted(api: httpx.AsyncClient) -> None:
    made = (await api.post("/api/v1/tokens", json={"name": "panel", "role": "read"})).json()
    headers = {"authorization": f"Bearer {made['token']}"}
    assert (await api.get("/api/v1/servers", headers=headers)).status_code == 200
    refused = await api.post("/api/v1/servers", json={"slug": "a", "name": "abc"}, headers=headers)
    assert (refused.status_code, code(refused)) == (403, "read_only_token")
    shown = await api.get("/api/v1/tokens", headers=headers)
    assert [(one["name"], one["role"]) for one in shown.json()["tokens"]] == [("panel", "read")]
    assert made["token"] not in shown.text
    taken = await api.post("/api/v1/tokens", json={"name": "panel"})
    assert (taken.status_code, code(taken)) == (409, "conflict")
    assert (await api.delete("/api/v1/tokens/panel")).status_code == 204
    assert (await api.get("/api/v1/servers", headers=headers)).status_code == 401
    assert code(await api.delete("/api/v1/tokens/panel")) == "token_not_found"


async def test_a_token_that_a_failover_could_bring_back_is_not_said_to_be_deleted(
    api: httpx.AsyncClient, redis_server: RedisServer, store: Store
) -> None:
    await api.post("/api/v1/tokens", json={"name": "panel"})
    without_replica = Store(redis_server.url, replicas=1)
    other, _ = client(without_replica, TOKEN)
    async with other:
        assert code(await other.delete("/api/v1/tokens/panel")) == "store_away"
    await without_replica.close()
    assert not await store.send("EXISTS", ADMIN_TOKENS)  # it is deleted at the primary all the same


async def test_the_mod_config_has_its_key_for_a_full_token(api: httpx.AsyncClient) -> None:
    path = "/api/v1/servers/of-file/mod-config"
    made = (await api.post("/api/v1/tokens", json={"name": "reads", "role": "read"})).json()
    shown = (await api.get(path)).json()
    assert shown["has_key"] and '"RegistrationToken": "key-of-the-file-0123"' in shown["mod_config"]
    hidden = (await api.get(path, headers={"authorization": f"Bearer {made['token']}"})).json()
    assert not hidden["has_key"] and "/k/<mod key>" in hidden["mod_config"]


async def test_the_mod_config_of_the_only_server_has_no_key_where_none_is_needed(store: Store) -> None:
    await forget_instances(store)
    keyless, _ = client(store, TOKEN, file=FILE.model_copy(update={"mod_keys": ()}))
    async with keyless:
        shown = (await keyless.get("/api/v1/servers/of-file/mod-config")).json()
    assert "/k/" not in shown["mod_config"] and "<mod key>" not in shown["mod_config"]


async def test_a_token_that_another_modapi_made_or_deleted_is_known_at_once(
    api: httpx.AsyncClient, store: Store
) -> None:
    other, _ = client(store, TOKEN)
    async with other:
        await api.get("/api/v1/fleet", headers={"authorization": "Bearer wrong"})  # looks up the tokens
        made = (await other.post("/api/v1/tokens", json={"name": "panel"})).json()
        headers = {"authorization": f"Bearer {made['token']}"}
        await until(
            lambda: api.get("/api/v1/fleet", headers=headers),
            FRESH_S / 2,
            met=lambda answer: answer.status_code == 200,
        )
        await other.delete("/api/v1/tokens/panel")
        await until(
            lambda: api.get("/api/v1/fleet", headers=headers), met=lambda answer: answer.status_code == 401
        )


async def test_while_redis_is_away_the_answer_is_503_and_the_full_token_still_known(tmp_path: Path) -> None:
    store = Store(f"unix://{tmp_path}/nobody-listens")
    made, _ = client(store, TOKEN)
    async with made:
        answer = await made.get("/api/v1/servers/one")
        assert (answer.status_code, code(answer)) == (503, "store_away")
        unknown = await made.get("/api/v1/servers/one", headers={"authorization": "Bearer unknown"})
        assert (unknown.status_code, code(unknown)) == (503, "store_away")
    await store.close()


async def test_failed_commands_of_a_day_are_counted(
    store: Store, api: httpx.AsyncClient, watched: None
) -> None:
    note_failed(store, FILE.slug, "an-operation", round(time.time() * 1000))
    assert (await api.get(f"/api/v1/servers/{FILE.slug}")).json()["failed_commands"] == 1
    assert (await api.get("/api/v1/fleet")).json()["failed_commands"] == 1
