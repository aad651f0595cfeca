"""Rows of one minute: how the last hour is read."""

from services.relay.instances.history import KEPT_MINUTES, Minute, last_hour, read_minutes
from services.relay.protocol.keys import keys_of
from services.relay.protocol.records import GameEvent
from services.relay.store.client import Store
from services.relay.store.event_stream import EventStream
from services.relay.store.repeats import digest
from services.relay.store.stream_entries import EventBatch, PostedEvent

NOW_MS = 29_000_000 * 60_000 + 1_234
NOW = NOW_MS // 60_000


def test_the_hour_has_a_row_for_each_minute_and_no_older_one() -> None:
    rows = [
        Minute(NOW - KEPT_MINUTES, 1, 1, 1, 1),
        Minute(NOW - KEPT_MINUTES + 1, 2, 0, 5, 6),
        Minute(NOW + 1, 9, 9, 9, 9),
    ]
    hour = last_hour(rows, NOW_MS, {})
    assert [row.minute for row in hour] == list(range(NOW - KEPT_MINUTES + 1, NOW + 1))
    assert hour[0] == rows[1]
    assert all(not any(row[1:]) for row in hour[1:])


async def test_accepted_events_are_counted_without_an_owner_and_repeats_are_not(
    store: Store, slug: str
) -> None:
    stream = EventStream(store, slug)
    events: list[GameEvent] = [{"type": "log", "data": {"msg": f"line {n}"}} for n in range(3)]
    batch = EventBatch([PostedEvent(digest(event), event) for event in events])
    for _ in range(2):  # the second one is a repeat: nobody has answered
        appended = await stream.append(batch)
    stream.notes.answered(appended.token)
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
