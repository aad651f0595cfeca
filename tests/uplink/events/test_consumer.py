"""What a reconnect sends again, and events whose type only a newer version knows, in a real store."""

from prometheus_client import CollectorRegistry

from services.relay.protocol.records import GameEvent
from services.relay.store.client import Store
from services.relay.store.event_stream import EventStream
from services.relay.store.leases import Lease
from services.uplink.events.consumer import StreamConsumer
from services.uplink.reporting.metrics import UplinkMetrics
from services.uplink.requests.mirror.mirror import Mirror
from tests.support.linked import Linked, line

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
