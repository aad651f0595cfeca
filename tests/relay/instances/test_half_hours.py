"""The last 24 hours in half hours: what is counted, how long the link was up, and what is deleted."""

from services.relay.instances.history import (
    HALF_HOURS,
    KEPT,
    LENGTH_S,
    LinkedTime,
    LinkUptime,
    last_day,
    read_half_hours,
)
from services.relay.protocol.keys import keys_of
from services.relay.protocol.records import GameEvent
from services.relay.store.client import Store
from services.relay.store.event_stream import EventStream
from services.relay.store.repeats import digest
from services.relay.store.stream_entries import EventBatch, PostedEvent

LENGTH_MS = LENGTH_S * 1000
NOW = 1_000_000
NOW_MS = NOW * LENGTH_MS + 600_000
EVENT: GameEvent = {"type": "log", "data": {"msg": "a line"}}


async def test_an_event_counts_in_the_hour_and_after_it_once(store: Store, slug: str) -> None:
    """Minutes of the last hour have a field each; the next event of the same minute of an hour moves them."""
    intake = keys_of(slug).intake
    now_ms = await store.read_clock(keys_of(slug).events) // 1000
    minute, half_hour = now_ms // 60_000, now_ms // LENGTH_MS
    for minute_of_hour in range(minute, minute + 2):  # a minute may end meanwhile
        await store.send("HSET", intake, f"m{minute_of_hour % 60}", f"{minute_of_hour - 60} 7")
    day = f"{half_hour - 60} 5 {half_hour - 3} 100 {half_hour + 90} 4"
    await store.send("HSET", intake, "day", day)
    stored_before = sum(one.accepted for one in await read_half_hours(store, slug, now_ms))
    await EventStream(store, slug).append(EventBatch([PostedEvent(digest(EVENT), EVENT)]))
    found = await read_half_hours(store, slug, now_ms)
    assert (stored_before, sum(one.accepted for one in found)) == (114, 115)
    left = (await store.send("HGET", intake, "day")).decode().split()
    assert f"{half_hour - 60}" not in left and f"{half_hour + 90}" not in left
    assert left[:2] == [f"{half_hour - 3}", "100"] and left[-1] == "7"


async def test_the_time_of_a_link_is_added_up_over_its_owners(store: Store, slug: str) -> None:
    for begins_ms in (NOW_MS, NOW_MS + 300_000):
        owner = LinkedTime(store, slug)
        for second in range(61):
            owner.count_until(begins_ms + second * 1000, linked=True)
        owner.count_until(begins_ms + 120_000, linked=True)  # nobody knows how it was meanwhile
        owner.count_until(begins_ms + 121_000, linked=False)
        owner.write()
    (*_, last) = await read_half_hours(store, slug, NOW_MS + 600_000)
    assert last.linked_s == 120
    assert 0 < await store.send("TTL", keys_of(slug).linked) <= 48 * 3600


async def test_half_hours_from_before_yesterday_are_deleted(store: Store, slug: str) -> None:
    await store.send("HSET", keys_of(slug).linked, NOW - KEPT - 1, 9, NOW - HALF_HOURS, 9)
    owner = LinkedTime(store, slug)
    owner.count_until(NOW_MS, linked=True)
    owner.count_until(NOW_MS + 2_000, linked=True)
    owner.write()
    kept = await store.send("HKEYS", keys_of(slug).linked)
    assert sorted(map(int, kept)) == [NOW - HALF_HOURS, NOW]


async def test_a_new_link_is_known_after_two_seconds(store: Store, slug: str) -> None:
    owner = LinkedTime(store, slug)
    for second in range(3):
        owner.count_until(NOW_MS + second * 1000, linked=True)
    (*_, last) = await read_half_hours(store, slug, NOW_MS + 3_000)
    assert last.linked_s == 1


async def test_a_link_that_is_down_writes_nothing(store: Store, slug: str) -> None:
    owner = LinkedTime(store, slug)
    for second in range(200):
        owner.count_until(NOW_MS + second * 1000, linked=False)
    owner.write()
    assert await store.send("EXISTS", keys_of(slug).linked) == 0


def test_a_half_hour_is_up_partly_or_down_and_unknown_before_the_first_one() -> None:
    linked_s = {NOW - 4: 1_790, NOW - 3: 900, NOW: 560}
    found = last_day({NOW - 2: 3}, linked_s, NOW_MS)
    assert len(found) == HALF_HOURS
    assert {one.link for one in found[:-5]} == {LinkUptime.UNKNOWN}
    assert [one.link.value for one in found[-5:]] == ["up", "partly", "down", "down", "up"]
    assert [one.accepted for one in found[-5:]] == [0, 0, 3, 0, 0]
    assert found[-1].length_s == 600


def test_a_half_hour_that_has_just_begun_is_not_down_yet() -> None:
    (*_, before, last) = last_day({}, {NOW - 1: 1_800}, NOW * LENGTH_MS + 30_000)
    assert (before.link, last.link) == (LinkUptime.UP, LinkUptime.UNKNOWN)


def test_a_server_that_was_added_in_a_half_hour_was_not_down_before() -> None:
    added_ms = NOW_MS - 10_000
    (*_, before, last) = last_day({NOW: 1}, {NOW: 8}, NOW_MS, added_ms)
    assert (before.link, last.link, last.length_s) == (LinkUptime.UNKNOWN, LinkUptime.UP, 10)


def test_a_server_without_a_link_is_down_as_long_as_it_is_known_to_be_there() -> None:
    a_week_ago_ms = NOW_MS - 7 * 24 * 3600 * 1000
    assert {one.link for one in last_day({}, {}, NOW_MS, a_week_ago_ms)} == {LinkUptime.DOWN}
    assert {one.link for one in last_day({}, {NOW - HALF_HOURS - 5: 9}, NOW_MS)} == {LinkUptime.DOWN}
    assert {one.link for one in last_day({}, {}, NOW_MS)} == {LinkUptime.UNKNOWN}
