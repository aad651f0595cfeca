"""The calls under `/api/instances`: they answer as they did before `/api/v1`, and say what replaces them."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.relay.instances.facts import InstanceData, LinkInfo
from services.relay.instances.records import digest_of
from services.relay.protocol.keys import (
    INSTANCES,
    keys_of,
)
from services.relay.service.lifecycle import cancelled
from services.relay.store.client import Store
from services.relay.store.leases import Lease
from tests.modapi.admin.conftest import TOKEN, client

IDENTITY = "an-identity-that-stays-secret"


async def add(api: httpx.AsyncClient, slug: str = "one", **more: Any) -> dict[str, Any]:
    answer = await api.post("/api/instances", json={"slug": slug, "name": f"Server {slug}", **more})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


CALLS = [
    ("GET", "/api/instances"),
    ("POST", "/api/instances"),
    ("GET", "/api/instances/one"),
    ("PATCH", "/api/instances/one"),
    ("DELETE", "/api/instances/one"),
    ("POST", "/api/instances/one/rotate"),
    ("GET", "/api/nothing"),
]


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize(
    "headers", [{"authorization": ""}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}]
)
async def test_without_the_token_nothing_is_done_or_shown(
    api: httpx.AsyncClient, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = await api.request(method, path, headers=headers, content=b"}{ not JSON")
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    assert "admin_token of [modapi]" in answer.json()["error"]


async def test_where_no_token_is_set_nobody_gets_in_and_the_answer_says_how(store: Store) -> None:
    without, _ = client(store, None)
    async with without:
        answer = await without.get("/api/instances", headers={"authorization": "Bearer "})
    assert answer.status_code == 401 and "set admin_token" in answer.json()["error"]


async def test_the_description_is_open_and_names_every_call(api: httpx.AsyncClient) -> None:
    answer = await api.get("/api/openapi.json", headers={"authorization": ""})
    told = {
        (method.upper(), f"/api{path}") for path, calls in answer.json()["paths"].items() for method in calls
    }
    assert {(method, path.replace("/one", "/{slug}")) for method, path in CALLS[:-1]} == told
    assert answer.json()["servers"] == [{"url": "/api"}]
    assert (await api.get("/api/docs")).status_code == 404


async def test_an_added_instance_shows_its_secrets_once(api: httpx.AsyncClient, store: Store) -> None:
    added = await add(api, identity_token=IDENTITY, registration_token="a-registration-token")
    assert added["identity_token"] == IDENTITY and len(added["mod_key"]) >= 43
    assert b"a-registration-token" in await store.send("HGET", INSTANCES, "one")
    for path in ("/api/instances", "/api/instances/one"):
        text = (await api.get(path)).text
        for secret in (
            IDENTITY,
            "a-registration-token",
            added["mod_key"],
            digest_of(added["mod_key"]),
            "identity-of-file",
            "key-of-the-file-0123",
        ):
            assert secret not in text


async def test_a_list_has_both_sources_and_what_is_known_of_each(
    api: httpx.AsyncClient, store: Store
) -> None:
    await add(api)
    await InstanceData(store, "one").write_link(LinkInfo("ready", "the-id-of-takaro"))
    await Lease(store, "one", "host-7").renew()
    await store.send("SET", keys_of("one").contact, "1700000000000")
    one, of_file = sorted((await api.get("/api/instances")).json()["instances"], key=lambda i: i["origin"])[
        ::-1
    ]
    assert one == (await api.get("/api/instances/one")).json()
    assert (one["origin"], of_file["origin"]) == ("redis", "file")
    assert (one["link"], one["game_server_id"]) == ("ready", "the-id-of-takaro")
    assert one["last_contact"] == "2023-11-14T22:13:20Z"
    assert (one["events_waiting"], one["commands_waiting"], one["served"]) == (0, 0, True)
    assert len(one["mod_keys"]) == 1 and one["mod_keys"][0]["added"] and not one["mod_keys"][0]["expires"]
    assert of_file["mod_keys"] == [{"added": None, "expires": None}]
    assert (of_file["link"], of_file["last_contact"]) == ("", None)


async def test_a_change_changes_what_it_names(api: httpx.AsyncClient) -> None:
    await add(api, registration_token="own-token")
    changed = (await api.patch("/api/instances/one", json={"disabled": True})).json()
    assert (changed["disabled"], changed["served"], changed["name"]) == (True, False, "Server one")
    assert changed["has_registration_token"]
    changed = (await api.patch("/api/instances/one", json={"registration_token": None})).json()
    assert changed["disabled"] and not changed["has_registration_token"]


async def test_adding_or_changing_a_server_returns_warnings(api: httpx.AsyncClient) -> None:
    assert (await add(api, "one"))["warnings"] == []
    twin = {"slug": "two", "name": "Server one"}
    added = (await api.post("/api/instances", json={**twin, "identity_token": "server-one"})).json()
    assert "two: its identity_token is just the server's name" in added["warnings"][0]
    assert added["warnings"][1].startswith("two: one has the same name. Takaro takes a name only once")

    async def changed(slug: str, **change: Any) -> list[str]:
        return [
            text[:27] for text in (await api.patch(f"/api/instances/{slug}", json=change)).json()["warnings"]
        ]

    assert await changed("two", name="Of the file") == ["two: of-file has the same n"]
    assert await changed("two", disabled=True) == []  # Takaro sees it no more
    assert await changed("two", name="Server one") == []
    assert await changed("two", disabled=False) == ["two: one has the same name."]
    assert await changed("one", disabled=False) == ["one: two has the same name."]
    assert await changed("one", registration_token="of-another-domain") == []
    assert await changed("one", registration_token=None, name="Server 1") == []


async def test_the_description_has_the_warnings(api: httpx.AsyncClient) -> None:
    told = (await api.get("/api/openapi.json")).json()
    for path, method, status in (("/instances", "post", "201"), ("/instances/{slug}", "patch", "200")):
        schema = told["paths"][path][method]["responses"][status]["content"]["application/json"]["schema"]
        answer = told["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        assert "warnings" in answer["required"] and answer["properties"]["warnings"]["description"]


async def test_a_rotation_shows_the_new_key_once_and_when_the_old_one_ends(api: httpx.AsyncClient) -> None:
    added = await add(api)
    rotated = (await api.post("/api/instances/one/rotate")).json()
    assert rotated["mod_key"] != added["mod_key"] and "identity_token" not in rotated
    assert [bool(key["expires"]) for key in rotated["mod_keys"]] == [True, False]
    refused = await api.post("/api/instances/one/rotate", json={"overlap_s": 0})
    assert refused.status_code == 409 and "one has a new key already" in refused.json()["error"]
    at_once = (await api.post("/api/instances/one/rotate", json={"overlap_s": 0, "force": True})).json()
    assert len(at_once["mod_keys"]) == 1


async def test_a_call_without_an_answer_can_be_repeated_at_any_modapi(
    api: httpx.AsyncClient, store: Store
) -> None:
    other, _ = client(store, TOKEN)
    new = {"slug": "one", "name": "Server one", "registration_token": "a-registration-token"}
    word = {"idempotency-key": "5f3c"}
    async with other:
        first, again = [await each.post("/api/instances", json=new, headers=word) for each in (api, other)]
        assert first.status_code == again.status_code == 201 and first.json() == again.json()
        another = await other.post("/api/instances", json={**new, "disabled": True}, headers=word)
        assert another.status_code == 409 and "for another call" in another.json()["error"]
        path, word = "/api/instances/one/rotate", {"idempotency-key": "5f3d"}
        first, again = [await each.post(path, headers=word) for each in (api, other)]
    assert first.json() == again.json() and len(first.json()["mod_keys"]) == 2


async def test_the_description_has_the_idempotency_key_of_both_calls_that_make_a_key(
    api: httpx.AsyncClient,
) -> None:
    paths = (await api.get("/api/openapi.json")).json()["paths"]
    for path in ("/instances", "/instances/{slug}/rotate"):
        (header,) = [one for one in paths[path]["post"]["parameters"] if one["in"] == "header"]
        assert header["name"] == "idempotency-key" and "409" in header["description"]


async def test_a_removed_instance_is_gone_and_comes_back_with_its_identity(api: httpx.AsyncClient) -> None:
    added = await add(api)
    assert (await api.delete("/api/instances/one")).status_code == 204
    assert (await api.get("/api/instances/one")).status_code == 404
    again = await api.post("/api/instances", json={"slug": "one", "name": "Server one"})
    assert again.status_code == 409 and "still has its data" in again.json()["error"]
    assert (await api.delete("/api/instances/one")).status_code == 404
    await add(api, identity_token=added["identity_token"])
    assert (await api.delete("/api/instances/one?purge=true")).status_code == 204


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "", {"slug": "one", "name": "Again"}, 409, "the slug one is taken"),
        ("POST", "", {"slug": "two", "name": "Two", "identity_token": IDENTITY}, 409, "has this identity"),
        ("POST", "", {"slug": "of-file", "name": "Two"}, 409, "is defined in relay.toml"),
        ("PATCH", "/of-file", {"name": "Two"}, 409, "is defined in relay.toml"),
        ("DELETE", "/of-file", None, 409, "is defined in relay.toml"),
        ("POST", "/of-file/rotate", None, 409, "is defined in relay.toml"),
        ("PATCH", "/nobody", {"name": "Two"}, 404, "there is no server nobody"),
        ("GET", "/nobody", None, 404, "there is no server nobody"),
        ("POST", "", {"slug": "Bad Slug", "name": "Two"}, 422, "slug: must be 1 to 63 of a-z"),
        ("POST", "", {"slug": "two", "name": "x"}, 422, "name: must have 3 to 50 characters"),
        ("POST", "", {"slug": "two"}, 422, "name: Field required"),
        ("PATCH", "/one", {"identity_token": IDENTITY}, 422, "identity_token: Extra inputs"),
        ("POST", "/one/rotate", {"overlap_s": -1}, 422, "overlap_s: must be greater than or equal to 0"),
        ("PUT", "/one", {}, 405, "Method Not Allowed"),
    ],
)  # fmt: skip
async def test_a_refusal_is_one_sentence_without_a_secret(
    api: httpx.AsyncClient, method: str, path: str, body: Any, status: int, words: str
) -> None:
    await add(api, identity_token=IDENTITY)
    answer = await api.request(method, f"/api/instances{path}", json=body)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"] and words in answer.json()["error"]
    assert IDENTITY not in answer.text


async def test_bodies_are_json_and_bounded(api: httpx.AsyncClient) -> None:
    broken = await api.post("/api/instances", content=b"{", headers={"content-type": "application/json"})
    assert broken.status_code == 422 and broken.json()["error"]
    assert (await api.post("/api/instances", content=b"x" * 70_000)).status_code == 413


async def test_calls_get_503_while_the_store_is_away(tmp_path: Path) -> None:
    store = Store(f"unix://{tmp_path}/nobody")
    api, directory = client(store, TOKEN)
    directory.registry.records.within_s = 0.1
    async with api:
        answer = await api.get("/api/instances")
    assert answer.status_code == 503 and answer.json()["error"].startswith("Redis")
    await store.close()


async def test_a_change_by_the_api_reaches_every_watcher(store: Store, api: httpx.AsyncClient) -> None:
    _, directory = client(store, TOKEN)
    seen: asyncio.Queue[list[str]] = asyncio.Queue()
    watching = asyncio.create_task(directory.watch(lambda served: seen.put_nowait(sorted(served))))
    try:
        assert await asyncio.wait_for(seen.get(), 30) == ["of-file"]
        await add(api)
        assert await asyncio.wait_for(seen.get(), 30) == ["of-file", "one"]
        await api.patch("/api/instances/one", json={"disabled": True})
        assert await asyncio.wait_for(seen.get(), 30) == ["of-file"]
    finally:
        await cancelled(watching)
