"""The calls about what happens on a server: players, events, commands, messages, dead letters."""

import asyncio
import time
from typing import Any

import httpx
import orjson
import pytest

from services.modapi.fleet import recent_activity
from services.relay.instances.activity import ActivityEntry, publish
from services.relay.protocol.keys import keys_of
from services.relay.protocol.records import Outcome
from services.relay.service.lifecycle import cancelled
from services.relay.store.client import Store
from services.relay.store.command_stream import CommandStream
from services.relay.store.event_stream import MAX_DEAD_EVENTS
from services.relay.store.leases import Lease
from tests.modapi.admin.conftest import FILE
from tests.support.waiting import until

SERVER = f"/api/v1/servers/{FILE.slug}"
KEYS = keys_of(FILE.slug)


async def add_dead_letter(store: Store, raw: bytes) -> str:
    id: bytes = await store.send(
        "XADD", KEYS.dead, "*", "reason", "unknown-type", "detail", "why", "raw", raw
    )
    return id.decode()


async def test_players_are_listed_by_name_with_their_last_position(
    api: httpx.AsyncClient, store: Store
) -> None:
    players = [{"gameId": "2", "name": "Bob", "ping": 40}, {"gameId": "1", "name": "alice", "steamId": "1"}]
    at_s = time.time() - 5
    await store.send("HSET", KEYS.mirror, "online", b"%f %b" % (at_s, orjson.dumps(players)))
    place = b'%f {"x": 1, "y": 2.5, "z": 3}' % at_s
    await store.send("HSET", KEYS.mirror, "getPlayerLocation:1", place)
    found = (await api.get(f"{SERVER}/players")).json()
    of_all = (await api.get("/api/v1/players")).json()
    await store.send("DEL", KEYS.mirror)
    (server,) = of_all["servers"]
    assert (server["slug"], server["players"], of_all["next_cursor"]) == (FILE.slug, found["players"], None)
    assert 5 <= found["age_s"] < 60
    assert [player["name"] for player in found["players"]] == ["alice", "Bob"]
    assert found["players"][0]["position"] == {"x": 1, "y": 2.5, "z": 3}
    assert (found["players"][1]["ping"], found["players"][1]["position"]) == (40, None)


async def test_a_mod_that_never_reported_its_players_has_none(api: httpx.AsyncClient, store: Store) -> None:
    await store.send("DEL", KEYS.mirror)
    assert (await api.get(f"{SERVER}/players")).json() == {"age_s": None, "players": []}


async def test_ended_events_and_commands_are_listed_once_the_owner_publishes_them(
    api: httpx.AsyncClient, store: Store
) -> None:
    lease = Lease(store, FILE.slug, "uplink-1")
    await lease.renew()

    async def keep_publishing() -> None:
        while True:
            kick = ActivityEntry("command", 7, "kickPlayer", {"gameId": "1"}, "refused", 5, "no")
            read = ActivityEntry("command", 8, "getPlayers", {}, "answered", 5)
            publish(store, FILE.slug, "a run", enumerate([chat(0), chat(1), kick, read]))
            await asyncio.sleep(0.05)

    publishing = asyncio.create_task(keep_publishing())

    async def listed(kind: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await api.get(f"{SERVER}/{kind}?limit=1")).json()[kind]
        return found

    events, commands = [await until(lambda kind=kind: listed(kind)) for kind in ("events", "commands")]
    await cancelled(publishing)
    await lease.release()
    [event], [command] = events, commands
    assert (event["type"], event["state"], event["data"]["msg"]) == ("chat-message", "delivered", "1")
    assert (command["action"], command["state"], command["detail"]) == ("kickPlayer", "refused", "no")
    assert command["arguments"] == {"gameId": "1"}


def chat(number: int) -> ActivityEntry:
    """All have the time at which their window ended."""
    return ActivityEntry("event", 1_000, "chat-message", {"msg": str(number)}, "delivered", 7)


async def test_a_message_reaches_the_game_and_its_end_is_returned(
    api: httpx.AsyncClient, store: Store
) -> None:
    commands = CommandStream(store, FILE.slug)

    async def answer() -> None:
        taken = await until(commands.take)
        assert taken[0].args == {"message": "Restart in five minutes"}
        await commands.complete(taken[0].operation_id, Outcome(), {})

    answering = asyncio.create_task(answer())
    sent = await api.post(f"{SERVER}/messages", json={"text": " Restart in five minutes "})
    await answering
    assert (sent.status_code, sent.json()["state"]) == (200, "answered")
    assert (await api.post(f"{SERVER}/messages", json={"text": "  "})).status_code == 422
    assert (await api.post("/api/v1/servers/nobody/messages", json={"text": "x"})).status_code == 404


async def test_the_last_hour_has_sixty_minutes(api: httpx.AsyncClient) -> None:
    minutes = (await api.get(f"{SERVER}/minutes")).json()["minutes"]
    assert len(minutes) == 60 and minutes[0]["at"] < minutes[-1]["at"]
    assert set(minutes[0]) == {"at", "accepted", "events", "commands", "p50_ms", "p99_ms"}


async def test_the_last_day_has_48_half_hours(api: httpx.AsyncClient) -> None:
    half_hours = (await api.get(f"{SERVER}/half-hours")).json()["half_hours"]
    assert len(half_hours) == 48 and half_hours[0]["at"] < half_hours[-1]["at"]
    assert set(half_hours[0]) == {"at", "accepted", "linked_s", "link"}


async def test_dead_letters_are_listed_in_pages_shown_and_dropped(
    api: httpx.AsyncClient, store: Store
) -> None:
    await store.send("DEL", KEYS.dead)
    ids = [await add_dead_letter(store, b"letter %d \xff" % number) for number in range(3)]
    first = (await api.get(f"{SERVER}/dead-letters", params={"limit": 2})).json()
    assert [letter["id"] for letter in first["dead_letters"]] == [ids[2], ids[1]]
    last = (await api.get(f"{SERVER}/dead-letters", params={"before": first["next_cursor"]})).json()
    assert [letter["id"] for letter in last["dead_letters"]] == [ids[0]] and last["next_cursor"] is None
    shown = (await api.get(f"{SERVER}/dead-letters/{ids[0]}")).json()
    assert (shown["reason"], shown["detail"], shown["raw"]) == ("unknown-type", "why", "letter 0 \ufffd")
    assert shown["no_retry"] is None
    assert (await api.delete(f"{SERVER}/dead-letters/{ids[0]}")).status_code == 204
    for method in ("GET", "DELETE"):
        gone = await api.request(method, f"{SERVER}/dead-letters/{ids[0]}")
        assert (gone.status_code, gone.json()["code"]) == (404, "dead_letter_not_found")
    assert (await api.delete(f"{SERVER}/dead-letters")).json() == {"dropped": 2}
    assert (await api.get(f"{SERVER}/dead-letters")).json()["dead_letters"] == []


async def test_all_dead_letters_are_dropped_also_where_redis_keeps_some_more(
    api: httpx.AsyncClient, store: Store
) -> None:
    await store.send("DEL", KEYS.dead)
    count = MAX_DEAD_EVENTS + 50
    await asyncio.gather(*(add_dead_letter(store, b"{}") for _ in range(count)))
    assert (await api.delete(f"{SERVER}/dead-letters")).json() == {"dropped": count}


async def test_lists_of_servers_beyond_those_that_can_be_watched_are_refused(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent_activity, "MOST_WATCHED", 0)
    for kind in ("events", "commands"):
        answer = await api.get(f"{SERVER}/{kind}")
        assert (answer.status_code, answer.json()["code"]) == (503, "too_many_streams")


async def test_a_dead_letter_that_can_be_read_now_is_taken_in_again(
    api: httpx.AsyncClient, store: Store
) -> None:
    await store.send("DEL", KEYS.dead, KEYS.events, KEYS.intake)
    good, bad = orjson.dumps({"type": "log", "msg": "now it can be read"}), b'{"type": "unheard-of"}'
    id = await add_dead_letter(store, good)
    retried = (await api.post(f"{SERVER}/dead-letters/{id}/retry")).json()
    assert retried == {"outcome": "taken", "text": "on the way to Takaro"}
    assert await store.send("XLEN", KEYS.events) == 1
    again = await api.post(f"{SERVER}/dead-letters/{id}/retry")
    assert (again.status_code, again.json()["code"]) == (404, "dead_letter_not_found")
    for raw in (good, bad, b""):
        await add_dead_letter(store, raw)
    counts = (await api.post(f"{SERVER}/dead-letters/retry")).json()["counts"]
    await store.send("DEL", KEYS.dead, KEYS.events, KEYS.intake)
    assert counts == {"taken": 1, "dead_again": 1, "not_possible": 1}


async def test_the_page_of_a_server_that_does_not_exist_shows_nothing(api: httpx.AsyncClient) -> None:
    for path in ("players", "minutes", "half-hours", "dead-letters", "dead-letters/1-1"):
        answer = await api.get(f"/api/v1/servers/nobody/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "server_not_found"), path
