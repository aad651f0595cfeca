"""Accepted events that were not delivered: those that wait, and dead letters."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.relay.instances.accepted import (
    BATCHES,
    SETTLED_MS,
    accepted,
    follow,
    settled_of,
    undelivered,
    undelivered_events,
)
from services.relay.instances.activity import REMEMBERED, ActivityEntry
from services.relay.instances.dead_letters import DeadLetter, DeadLetters
from services.relay.instances.facts import facts_of
from services.relay.protocol.errors import StoreError
from services.relay.protocol.keys import keys_of
from services.relay.protocol.records import DeadEvent, GameEvent
from services.relay.store.client import Store
from services.relay.store.event_stream import REFUSED_BY_TAKARO, EventStream
from services.relay.store.repeats import digest
from services.relay.store.stream_entries import Delivered, EventBatch, PostedEvent, StreamEntry

NOW_MS = 1_700_000_000_000


def line(text: str) -> GameEvent:
    return {"type": "log", "data": {"msg": text}}


def entry(id: str, *texts: str, age_ms: int = 60_000) -> StreamEntry:
    return StreamEntry(id, [line(text) for text in texts], 10, NOW_MS - age_ms)


def test_events_that_are_not_delivered_wait_the_newest_first() -> None:
    entries = [
        entry("3-0", "d", age_ms=SETTLED_MS - 1),
        entry("2-0", "c", age_ms=SETTLED_MS),
        entry("1-0", "a", "b1", "b2"),
    ]
    settled = settled_of(entries[::-1], NOW_MS, SETTLED_MS)
    found = undelivered_events(settled[::-1], Delivered("1-0", 1))
    assert [one.data["msg"] for one in found] == ["c", "b2", "b1"]
    assert {one.state for one in found} == {"waiting"}
    assert found[0].at_ms == NOW_MS - SETTLED_MS


def test_events_delivered_ahead_of_others_do_not_wait() -> None:
    entries = [entry("2-0", "d", "e", "f"), entry("1-0", "a", "b", "c")]
    delivered = Delivered("1-0", 1, {"1-0": 0b100, "2-0": 0b001})
    assert [one.data["msg"] for one in undelivered_events(entries, delivered)] == ["d", "c"]


def test_an_event_that_was_just_delivered_is_not_shown_as_waiting_too() -> None:
    same, other = ({"msg": text} for text in ("a line", "another"))
    accepted_events = [
        ActivityEntry("event", NOW_MS, "log", same, "waiting", 0),
        ActivityEntry("event", NOW_MS - 50, "log", other, "waiting", 0),
        ActivityEntry("event", NOW_MS - 100, "log", same, "waiting", 0),
        ActivityEntry("event", NOW_MS - 100, "log", same, "dead", 0),
    ]
    ended = [ActivityEntry("event", NOW_MS - 20, "log", same, "delivered", 80)]
    shown = undelivered(accepted_events, ended)
    assert shown == [accepted_events[0], accepted_events[1], accepted_events[3]]


async def test_accepted_events_are_shown_before_an_uplink_owns_the_server(store: Store, slug: str) -> None:
    stream = EventStream(store, slug)
    await stream.append(
        EventBatch(
            [
                PostedEvent(digest(b"1"), line("it waits")),
                PostedEvent(digest(b"2"), DeadEvent("unknown-type", "no such type", b'{"type":"dance"}')),
                PostedEvent(digest(b"3"), DeadEvent("unreadable", "no JSON", b"}{")),
            ]
        )
    )
    await stream.bury("refused", [line("not ours to tell")])
    facts = await facts_of(store, slug)
    found = {(one.what, one.state, one.detail) for one in await accepted(store, slug, facts)}
    assert found == {
        ("log", "waiting", ""),
        ("dance", "dead", "unknown-type"),
        ("event", "dead", "unreadable"),
    }
    assert REFUSED_BY_TAKARO not in str(found)
    assert await asyncio.wait_for(accepted(store, f"{slug}-empty", facts), 30) == []


def batch(*events: GameEvent | DeadEvent) -> EventBatch:
    return EventBatch([PostedEvent(digest(str(event).encode()), event) for event in events])


async def told(following: AsyncIterator[list[ActivityEntry]], count: int) -> list[tuple[str, str]]:
    """Reads the next `count` events: their text and state."""
    found: list[ActivityEntry] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            found += await anext(following)
    return [(one.data["msg"], one.state) for one in found]


async def test_a_follower_receives_each_accepted_event_once(store: Store, slug: str) -> None:
    stream, following = EventStream(store, slug), follow(store, slug)
    await stream.append(batch(line("before"), DeadEvent("unreadable", "from before", b"}{")))
    assert sorted(await told(following, 2)) == [("before", "waiting"), ("from before", "dead")]
    assert await anext(following) == []
    for number in range(BATCHES + 5):  # more than one look reads
        await stream.append(batch(line(f"{number}")))
    await stream.append(batch(line("last"), DeadEvent("unreadable", "no JSON", b"}{")))
    await stream.bury("refused", [line("it has passed")])
    found = await told(following, BATCHES + 7)
    numbered = [(f"{number}", "waiting") for number in range(BATCHES + 5)]
    assert sorted(found) == sorted([*numbered, ("last", "waiting"), ("no JSON", "dead")])
    assert [one for one in found if one[1] == "waiting"] == [*numbered, ("last", "waiting")]
    assert await anext(following) == []


async def test_a_follower_receives_what_a_look_had_found_when_redis_failed(
    store: Store, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await EventStream(store, slug).append(batch(line("it waits"), DeadEvent("unreadable", "no JSON", b"}{")))
    following, newest, failed = follow(store, slug), DeadLetters.newest, list[int]()

    async def failing(letters: DeadLetters, count: int) -> list[DeadLetter]:
        if not failed:
            failed.append(1)
            raise StoreError("away")
        return await newest(letters, count)

    monkeypatch.setattr(DeadLetters, "newest", failing)
    assert sorted(await told(following, 2)) == [("it waits", "waiting"), ("no JSON", "dead")] and failed


async def test_a_new_follower_receives_only_the_newest_events(store: Store, slug: str) -> None:
    stream, following = EventStream(store, slug), follow(store, slug)
    texts = [f"{number}" for number in range(REMEMBERED + 10)]
    await stream.append(batch(*map(line, texts)))
    assert [one.data["msg"] for one in await anext(following)] == texts[-REMEMBERED:]
    assert await anext(following) == []


@pytest.mark.parametrize(("uplink", "link"), [("host-1", "refused"), ("", "ready")])
async def test_without_a_ready_link_a_waiting_event_is_shown_at_once(
    store: Store, slug: str, uplink: str, link: str
) -> None:
    await has_link(store, slug, uplink, link)
    await EventStream(store, slug).append(batch(line("a")))
    assert [one.data["msg"] for one in await anext(follow(store, slug))] == ["a"]


async def test_with_a_ready_link_a_young_event_is_not_yet_shown(store: Store, slug: str) -> None:
    await has_link(store, slug, "host-1", "ready")
    stream, key = EventStream(store, slug), keys_of(slug).events
    begun_us = await store.read_clock(key)
    await stream.append(batch(line("a")))
    assert await told(follow(store, slug), 1) == [("a", "waiting")]
    assert await store.read_clock(key) - begun_us >= SETTLED_MS * 1000


async def has_link(store: Store, slug: str, uplink: str, link: str) -> None:
    keys = keys_of(slug)
    await store.send("HSET", keys.lease, "token", "t", "uplink", uplink)
    await store.send("HSET", keys.link, "state", link)
