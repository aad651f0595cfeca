"""Rows of one minute: what is counted and written, and how the last hour is read."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.instances.minutes import (
    KEPT_MINUTES,
    Minute,
    Minutes,
    last_hour,
    percentile,
    read_minutes,
)
from services.relay.protocol.keys import keys_of
from services.relay.protocol.records import GameEvent
from services.relay.store.client import Store
from services.relay.store.event_stream import EventBatch, EventStream, PostedEvent, digest

NOW_MS = 29_000_000 * 60_000 + 1_234
NOW = NOW_MS // 60_000


async def test_a_minute_is_written_when_it_ends(store: Store, slug: str) -> None:
    minutes = Minutes(store, slug)
    minutes.looked(NOW_MS - 60_000)
    minutes.events(100, 99)
    minutes.events(5_000, 1)
    minutes.command()
    minutes.looked(NOW_MS - 59_000)
    assert (await read_minutes(store, slug, NOW_MS))[-2].events == 0
    minutes.looked(NOW_MS)
    last = (await read_minutes(store, slug, NOW_MS))[-2]
    assert last[:3] == (NOW - 1, 100, 1)
    assert last.p50_ms == pytest.approx(100, rel=0.1)
    assert last.p99_ms == pytest.approx(100, rel=0.1)


async def test_while_somebody_watches_the_current_minute_is_written_too(store: Store, slug: str) -> None:
    minutes = Minutes(store, slug)
    minutes.looked(NOW_MS)
    for count in (1, 2):
        minutes.command()
        minutes.looked(NOW_MS, live=True)
        assert (await read_minutes(store, slug, NOW_MS))[-1][:3] == (NOW, 0, count)


async def test_a_minute_without_events_or_commands_has_no_row(store: Store, slug: str) -> None:
    minutes = Minutes(store, slug)
    for minute in range(5):
        minutes.looked(NOW_MS + minute * 60_000)
    assert await store.send("EXISTS", f"relay:{{{slug}}}:minutes") == 0


async def test_two_rows_of_one_minute_are_added_up(store: Store, slug: str) -> None:
    for took_ms in (50, 400):
        owner = Minutes(store, slug)
        owner.looked(NOW_MS - 60_000)
        owner.events(took_ms, 3)
        owner.write()
    last = (await read_minutes(store, slug, NOW_MS))[-2]
    assert last.events == 6
    assert last.p99_ms == pytest.approx(400, rel=0.1)


def test_the_hour_has_a_row_for_each_minute_and_no_older_one() -> None:
    rows = [
        Minute(NOW - KEPT_MINUTES, 1, 1, 1, 1),
        Minute(NOW - KEPT_MINUTES + 1, 2, 0, 5, 6),
        Minute(NOW + 1, 9, 9, 9, 9),
    ]
    hour = last_hour(rows, NOW_MS)
    assert [row.minute for row in hour] == list(range(NOW - KEPT_MINUTES + 1, NOW + 1))
    assert hour[0] == rows[1]
    assert all(not any(row[1:]) for row in hour[1:])


@given(st.lists(st.floats(1, 600_000), min_size=1), st.sampled_from([0.5, 0.99]))
def test_percentiles_are_exact_to_a_tenth(took: list[float], share: float) -> None:
    import math

    counted = Counter(round(8 * math.log2(one)) for one in took)
    exact = sorted(took)[max(0, math.ceil(share * len(took)) - 1)]
    assert percentile(counted, share) == pytest.approx(exact, rel=0.1, abs=1)


async def test_accepted_events_are_counted_without_an_owner_and_repeats_are_not(
    store: Store, slug: str
) -> None:
    stream = EventStream(store, slug)
    events: list[GameEvent] = [{"type": "log", "data": {"msg": f"line {n}"}} for n in range(3)]
    batch = EventBatch([PostedEvent(digest(event), event) for event in events])
    for _ in range(2):  # the second one is a repeat: nobody has answered
        appended = await stream.append(batch)
    stream.answered(appended.token)
    await EventStream(store, slug, "agent").append(batch)
    now_ms = await store.read_clock(keys_of(slug).events) // 1000
    hour = await read_minutes(store, slug, now_ms)
    assert sum(minute.accepted for minute in hour) == 6 and sum(minute.events for minute in hour) == 0
    assert sum(minute.accepted for minute in hour[-2:]) == 6
    assert len(await store.send("HGETALL", keys_of(slug).intake)) / 2 < 40


async def test_the_count_of_an_hour_ago_is_replaced(store: Store, slug: str) -> None:
    stream = EventStream(store, slug)
    now_ms = await store.read_clock(keys_of(slug).events) // 1000
    for minute in range(now_ms // 60_000, now_ms // 60_000 + 2):  # it may end meanwhile
        await store.send("HSET", keys_of(slug).intake, f"m{minute % 60}", f"{minute - 60} 999")
    event: GameEvent = {"type": "log", "data": {"msg": "a line"}}
    await stream.append(EventBatch([PostedEvent(digest(event), event)]))
    assert sum(minute.accepted for minute in await read_minutes(store, slug, now_ms + 60_000)) == 1
