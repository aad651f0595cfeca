"""The forms of the page that add and change servers, over HTTP."""

import asyncio
import json
import re
from html import unescape

import httpx
import orjson
import pytest

from services.modapi.page import forms
from services.relay.instances.registry import Registry
from services.relay.protocol.errors import StoreError
from services.relay.protocol.keys import keys_of
from services.relay.protocol.records import Outcome
from services.relay.store.client import Store
from services.relay.store.command_stream import CommandStream
from tests.modapi.page.test_page_over_http import KEY, TOKEN, form_key, log_in, page
from tests.support.stored_instances import forget_instances
from tests.support.waiting import until


def config_of(text: str) -> dict[str, str]:
    """The mod's config on a page that shows it with its key."""
    found = text.partition('<pre id="config-text">')[2].partition("</pre>")[0]
    config: dict[str, str] = json.loads(unescape(found))
    return config


async def add(client: httpx.AsyncClient, name: str, **more: str) -> httpx.Response:
    text = (await client.get("/add")).text
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]+)"', text))
    return await client.post("/add", data={**fields, "name": name, **more})


async def forget(store: Store, slug: str) -> None:
    await Registry(store, lambda: ()).remove(slug, purge=True)


async def test_an_empty_relay_shows_one_card_that_connects_the_first_server(store: Store, slug: str) -> None:
    await forget_instances(store)
    async with page(store, slug, token=None, served=()) as client:
        text = (await client.get("/")).text
        assert "Connect your first server" in text and "<table" not in text
        answer = await add(client, f"[EU] {slug}", slug=slug, registration_token="token-of-takaro")
        assert answer.status_code == 200
        assert config_of(answer.text)["TakaroApiUrl"].startswith("http://127.0.0.1:8088/k/")
        for step in ("mod has called", "accepted the registration token", "Linked", "first event"):
            assert step in answer.text, step
        assert "not yet" in answer.text
        assert "Connect your first server" not in (await client.get("/")).text
        await until(lambda: client.get("/"), met=lambda answer: "Send a message" in answer.text)
    await forget(store, slug)


async def test_an_added_server_is_served_with_the_key_that_was_shown(store: Store, slug: str) -> None:
    new = f"{slug}-new"
    async with page(store, slug) as client:
        await log_in(client)
        answer = await add(client, "A new server", slug=new, registration_token="a-token-of-its-own")
        key = config_of(answer.text)["TakaroApiUrl"].rpartition("/k/")[2]
        record = (await Registry(store, lambda: ()).records.read()).records()
        assert record and record[new].name == "A new server" and record[new].registration_token
        assert [one.digest for one in record[new].mod_key_digests] and key not in str(record[new])
        assert "a-token-of-its-own" not in answer.text
    await forget(store, new)


async def test_loading_the_answer_again_adds_nothing_and_shows_the_same_key(store: Store, slug: str) -> None:
    new = f"{slug}-new"
    async with page(store, slug) as client:
        await log_in(client)
        data = {"key": await form_key(client, slug), "once": "a-word", "name": "A new server", "slug": new}
        configs = [config_of((await client.post("/add", data=data)).text) for _ in range(2)]
        assert configs[0] == configs[1]
        other = await client.post("/add", data={**data, "once": "another"})
        assert other.status_code == 409 and "is taken" in other.text
    await forget(store, new)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "ab"}, "name: must have 3 to 50 characters"),
        ({"name": "A server", "slug": "Not A Slug"}, "slug: must be 1 to 63 of a-z"),
        ({"name": "A server", "registration_token": "a\x07b"}, "registration token: must be text"),
    ],
)
async def test_a_wrong_field_is_named_and_what_was_typed_stays(
    store: Store, slug: str, fields: dict[str, str], words: str
) -> None:
    async with page(store, slug) as client:
        await log_in(client)
        answer = await add(client, **fields)
        assert answer.status_code == 422 and words in answer.text
        assert f'value="{fields["name"]}"' in answer.text


async def test_a_name_that_is_taken_opens_the_field_that_makes_it_another_one(
    store: Store, slug: str
) -> None:
    async with page(store, slug) as client:
        await log_in(client)
        answer = await add(client, name=slug)
        assert answer.status_code == 409 and f"{slug} is defined in" in answer.text
        assert "<details open><summary>Short name (slug)" in answer.text


async def test_a_server_is_disabled_enabled_and_gets_a_new_key(store: Store, slug: str) -> None:
    new = f"{slug}-new"
    async with page(store, slug) as client:
        await log_in(client)
        first = config_of((await add(client, "A new server", slug=new)).text)
        data = {"key": await form_key(client, new)}

        async def sent(verb: str, **more: str) -> httpx.Response:
            return await client.post(f"/instance/{new}/{verb}", data={**data, **more})

        assert (await sent("disable")).headers["location"] == f"/?disabled={new}"
        assert "is disabled: its mod is refused" in (await client.get(f"/?disabled={new}")).text
        records = (await Registry(store, lambda: ()).records.read()).records()
        assert records and records[new].disabled
        back = await sent("enable", next=f"/instance/{new}")
        assert back.headers["location"] == f"/instance/{new}?enabled={new}"
        assert config_of((await sent("rotate")).text) != first
        refused = await sent("rotate")
        assert refused.status_code == 409 and "has a new key already" in refused.text
        assert (await sent("rotate", force="1")).status_code == 200
        assert (await sent("config")).status_code == 404  # only hashes of its keys are kept
        assert (await sent("explode")).status_code == 404
    await forget(store, new)


async def test_the_address_of_a_form_leads_to_its_server(store: Store, slug: str) -> None:
    async with page(store, slug) as client:
        await log_in(client)
        answer = await client.get(f"/instance/{slug}/rotate")
        assert (answer.status_code, answer.headers["location"]) == (303, f"/instance/{slug}")


async def test_a_server_of_the_file_shows_its_key_when_asked_and_is_changed_there(
    store: Store, slug: str
) -> None:
    async with page(store, slug, mod_keys=(KEY,)) as client:
        await log_in(client)
        text = (await client.get(f"/instance/{slug}")).text
        assert KEY not in text and "Show with the mod key" in text and "change it there" in text
        data = {"key": await form_key(client, slug)}
        shown = await client.post(f"/instance/{slug}/config", data=data)
        assert config_of(shown.text)["TakaroApiUrl"].endswith(f"/k/{KEY}")
        refused = await client.post(f"/instance/{slug}/disable", data=data)
        assert refused.status_code == 409 and "defined in relay.toml" in refused.text


async def test_no_form_works_without_the_key_of_its_session(store: Store, slug: str) -> None:
    async with page(store, slug, mod_keys=(KEY,)) as client:
        await log_in(client)
        good = {"key": await form_key(client, slug), "name": "A new server", "slug": f"{slug}-new"}
        paths = ["/add", *(f"/instance/{slug}/{verb}" for verb in ("say", "disable", "rotate", "config"))]
        for path in paths:
            for data, headers in (
                ({**good, "key": ""}, {}),
                ({**good, "key": "0" * 32}, {}),
                (good, {"origin": "https://evil.example"}),
                (good, {"sec-fetch-site": "cross-site"}),
            ):
                answer = await client.post(path, data=data, headers=headers)
                assert answer.status_code == 403 and KEY not in answer.text, path
        client.cookies.clear()
        for path in paths:
            assert (await client.post(path, data=good)).status_code == 401
        bearer = {"authorization": f"Bearer {TOKEN}"}
        assert (await client.post(f"/instance/{slug}/config", headers=bearer)).status_code == 200


async def test_a_message_is_sent_to_the_game_and_its_end_is_shown(store: Store, slug: str) -> None:
    commands = CommandStream(store, slug)

    async def mod() -> None:
        taken = await until(commands.take)
        [command] = taken
        assert command.args == {"message": "Restart in five minutes"}
        await commands.complete(command.operation_id, Outcome(), {})

    async with page(store, slug) as client:
        await log_in(client)
        data = {"key": await form_key(client, slug), "text": "Restart in five minutes"}
        answer, _ = await asyncio.gather(client.post(f"/instance/{slug}/say", data=data, timeout=60), mod())
        assert answer.headers["location"] == f"/instance/{slug}?message=answered"
        assert "Message: done" in (await client.get(answer.headers["location"])).text
        assert (await client.post(f"/instance/{slug}/say", data={**data, "text": " "})).status_code == 422


async def test_a_message_that_may_have_been_sent_is_not_to_be_sent_again_unseen(
    store: Store, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: object) -> None:
        raise StoreError("Redis: the connection was lost")

    monkeypatch.setattr(forms, "send_message", lost)
    async with page(store, slug) as client:
        await log_in(client)
        data = {"key": await form_key(client, slug), "text": "Restart in five minutes"}
        answer = await client.post(f"/instance/{slug}/say", data=data)
    assert answer.status_code == 503 and "look at the last commands of the server" in answer.text
    assert "Load this page again" not in answer.text  # that would send it again


async def test_players_are_shown_by_name_with_position_and_ping(store: Store, slug: str) -> None:
    listed = [{"gameId": "7656", "name": "Zoë <b>", "ping": 41}, {"gameId": "7657", "name": "Bob"}]
    mirror = keys_of(slug).mirror
    await store.send("HSET", mirror, "online", b"1700000000.000 " + orjson.dumps(listed))
    position = b"1700000000.000 " + orjson.dumps({"x": 1234.5, "y": 3, "z": 77})
    await store.send("HSET", mirror, "getPlayerLocation:7656", position)
    await store.send("HSET", mirror, "made_up", b"1700000000.000 7")
    async with page(store, slug) as client:
        await log_in(client)
        text = (await client.get(f"/instance/{slug}")).text
    assert "<bdi>Zoë &lt;b&gt;</bdi>" in text and "1234 / 77" in text and "41 ms" in text
    assert text.index("<bdi>Bob") < text.index("<bdi>Zoë") and "2 online" in text
    assert "7, last " in text
