"""What a reconnect sends again, what hints bring, and events of unknown types, in a real store."""

import time
from collections.abc import AsyncIterator

import orjson
from prometheus_client import CollectorRegistry

from services.relay.protocol.keys import WAKE_EVENTS, keys_of
from services.relay.protocol.records import GameEvent
from services.relay.store.client import Store
from services.relay.store.event_stream import EventStream
from services.relay.store.leases import Lease
from services.relay.store.stream_entries import EventBatch, PostedEvent, StreamEntry
from services.uplink.events.consumer import StreamConsumer
from services.uplink.events.progress import StreamEvent
from services.uplink.reporting.metrics import UplinkMetrics
from services.uplink.requests.mirror.mirror import Mirror
from tests.support.linked import Linked, line
from tests.support.waiting import until

MOST_THAT_LUA_UNPACKS = 8_000
UNKNOWN: GameEvent = {"type": "player-levelled-up", "data": {"level": 3}}


async def test_an_acknowledgement_right_after_a_reconnect_repeats_nothing_of_later_entries(
    linked: Linked, store: Store, slug: str
) -> None:
    await linked.append(1, 2)
    await linked.append(3, 4, 5, 6)
    lease, metrics = Lease(store, slug, "up"), UplinkMetrics(CollectorRegistry())
    await lease.renew()
    consumer = StreamConsumer(EventStream(store, slug), Mirror(), lease, metrics)
    await consumer.begin()
    events = await consumer.read() + await consumer.read()
    await consumer.acknowledge([events[3], events[5]])
    await consumer.begin()
    first = await consumer.read()  # the first read after a reconnect is of one entry
    assert [one.event for one in first] == [line(1), line(2)]
    await consumer.acknowledge(first[:1])
    await consumer.begin()
    rest = await consumer.read() + await consumer.read()
    assert [one.event for one in rest] == [line(2), line(3), line(5)]


async def test_an_event_of_an_unknown_type_goes_to_takaro_once_and_holds_up_nothing(linked: Linked) -> None:
    uplink = await linked.owner()
    await linked.append_events(line(1), UNKNOWN, line(2))
    await linked.emptied()
    assert linked.lines() == ["line 1", "line 2"]
    assert [refused.frame["payload"] for refused in linked.takaro.refused] == [UNKNOWN]
    assert uplink.count("dayz_relay_events_delivered_total", type="other") == 1


async def test_an_event_of_an_unknown_type_that_is_too_old_adds_no_label(
    linked: Linked, store: Store, slug: str
) -> None:
    registry = CollectorRegistry()
    lease = Lease(store, slug, "up")
    consumer = StreamConsumer(EventStream(store, slug), Mirror(), lease, UplinkMetrics(registry))
    await linked.append_events(UNKNOWN)
    await lease.renew()
    await consumer.begin()
    consumer.drop_expired(await consumer.read())
    name = "dayz_relay_events_expired_total"
    assert registry.get_sample_value(name, {"type": "other"}) == 1
    assert registry.get_sample_value(name, {"type": UNKNOWN["type"]}) is None


async def test_a_backlog_that_is_too_old_behind_an_event_that_is_needed_is_dropped_in_portions(
    linked: Linked, store: Store, slug: str
) -> None:
    kill: GameEvent = {"type": "entity-killed", "data": {"entity": "ZmbM_Farmer", "weapon": "M4A1"}}
    lines = map(line, range(MOST_THAT_LUA_UNPACKS + 100))
    events, at_ms = keys_of(slug).events, int(time.time() - 3600) * 1000
    for number, event in enumerate([kill, *lines]):
        store.send_unawaited(
            "XADD", events, f"{at_ms}-{number + 1}", "events", orjson.dumps([event]), "at", at_ms
        )
    uplink = await linked.owner()

    async def is_empty() -> bool:
        return await store.send("XLEN", events) == 0

    await until(is_empty)
    assert [event.type for event in linked.takaro.events(linked.identity)] == [kill["type"]]
    assert uplink.count("dayz_relay_events_expired_total", type="log") == MOST_THAT_LUA_UNPACKS + 100


class CountedStream(EventStream):
    """Counts how often it is read."""

    reads = 0

    async def read(self, after: str, count: int) -> list[StreamEntry]:
        self.reads += 1
        return await super().read(after, count)


async def batches_of(store: Store, slug: str) -> AsyncIterator[bytes]:
    """What the hints of an instance bring. The first one is empty: it is subscribed."""
    async for _, hint in store.messages(WAKE_EVENTS):
        names, _, batch = hint.partition(b"\n")
        if not hint or names.decode().split() == [slug]:
            yield batch


def said(events: list[StreamEvent]) -> list[GameEvent]:
    return [one.event for one in events]


async def test_what_a_hint_brings_is_not_read_from_the_stream_unless_something_is_before_it(
    linked: Linked, store: Store, slug: str
) -> None:
    stream, lease = CountedStream(store, slug), Lease(store, slug, "up")
    await lease.renew()
    consumer = StreamConsumer(stream, Mirror(), lease, UplinkMetrics(CollectorRegistry()))
    await consumer.begin()
    assert await consumer.read() == []
    batches = batches_of(store, slug)
    await anext(batches)

    await linked.append(1, 2)
    consumer.wake(batch=await anext(batches))
    first = await consumer.read()
    await linked.append(3)
    third = await anext(batches)
    consumer.wake(batch=third)
    assert said(first + await consumer.read()) == [line(1), line(2), line(3)]
    assert stream.reads == 1

    await linked.append(4)
    await anext(batches)  # is lost
    await linked.append(5)
    consumer.wake(batch=await anext(batches))
    assert said(await consumer.read()) == [line(4), line(5)]
    await linked.append(6)
    consumer.wake(batch=await anext(batches))
    await linked.append(7)
    consumer.wake(batch=await anext(batches))
    assert said(await consumer.read()) == [line(6), line(7)]
    consumer.wake(batch=third)  # is late
    assert await consumer.read() == []


async def test_what_a_hint_brings_is_not_taken_once_it_is_delivered(
    linked: Linked, store: Store, slug: str
) -> None:
    lease, metrics = Lease(store, slug, "up"), UplinkMetrics(CollectorRegistry())
    await lease.renew()
    consumer = StreamConsumer(EventStream(store, slug), Mirror(), lease, metrics)
    await consumer.begin()
    await consumer.read()
    batches = batches_of(store, slug)
    await anext(batches)
    await linked.append(1)
    late = await anext(batches)
    consumer.wake(batch=late)
    await consumer.acknowledge(await consumer.read())
    consumer.wake(batch=late)
    assert await consumer.read() == []
    await consumer.begin()
    assert await consumer.read() == []
    consumer.wake(batch=late)
    assert await consumer.read() == []
    await linked.append(2)
    consumer.wake(batch=await anext(batches))
    assert said(await consumer.read()) == [line(2)]


async def test_hints_of_large_batches_in_quick_succession_or_of_long_queues_bring_nothing(
    linked: Linked, store: Store, slug: str
) -> None:
    batches = batches_of(store, slug)
    await anext(batches)
    stream = EventStream(store, slug)
    for number, brings in ((1, True), (2, False)):
        await stream.append(EventBatch([PostedEvent(b"%04d" % number, line(number))]))
        assert bool(await anext(batches)) == brings
    await linked.append_events({"type": "log", "data": {"msg": "x" * 5000}})
    assert await anext(batches) == b""
    await linked.append(*range(64))
    assert await anext(batches) == b""
