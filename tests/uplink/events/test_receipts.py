"""When Takaro has an event: after two pongs, with no error, and a short time later."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.relay.protocol.records import GameEvent
from services.relay.store.clock import AgeRange
from services.relay.store.stream_entries import Delivered, StreamEntry
from services.uplink.events.progress import Progress, StreamEvent
from services.uplink.events.receipts import NOW, PROVEN_AFTER_S, EndedEvents, Receipts, RefusedEvent

NEVER = float("inf")


def some(number: int, count: int = 1) -> list[StreamEvent]:
    event: GameEvent = {"type": "log", "data": {"msg": str(number)}}
    entry = StreamEntry(f"{number}-0", [event] * count, 10, number)
    return Progress(Delivered()).read(entry, AgeRange(1.0, 1.0), number + 1.0)


def window(*numbers: int, ponged_s: float = 0.0, **more: Any) -> EndedEvents:
    """Events, each accepted at the second of its number. The first pong behind them came at `ponged_s`."""
    events = tuple(event.event for number in numbers for event in some(number))
    return EndedEvents(events, took_s=ponged_s - numbers[0], **more)


def round_trip(delivery: Receipts, events: list[StreamEvent], now_s: float = 0.0) -> EndedEvents | None:
    """Events, a ping, and its pong."""
    if events:
        delivery.written(events)
    delivery.pinged(now_s)
    assert delivery.pinged_s == now_s
    return delivery.ponged(now_s)


def test_one_pong_proves_nothing_yet() -> None:
    delivery = Receipts()
    assert round_trip(delivery, some(1), 5.0) is None
    assert (delivery.unproven, delivery.ponged_s, delivery.proven_s) == (1, 5.0, NEVER)


def test_the_pong_of_the_next_events_proves_those_before() -> None:
    delivery = Receipts()
    round_trip(delivery, some(1))
    assert round_trip(delivery, some(2)) == window(1)


def test_a_bare_ping_proves_the_last_events_when_nothing_follows() -> None:
    delivery = Receipts()
    round_trip(delivery, some(1))
    assert round_trip(delivery, []) == window(1)
    assert delivery.ponged_s is None and not delivery.unpinged


def test_bare_pings_prove_nothing_themselves() -> None:
    delivery = Receipts()
    assert [round_trip(delivery, []) for _ in range(3)] == [None] * 3


def test_events_written_while_a_ping_is_under_way_belong_to_the_next_one() -> None:
    delivery = Receipts()
    delivery.written(some(1))
    delivery.pinged(0.0)
    delivery.written(some(2))
    delivery.written(some(3))
    assert delivery.ponged(0.0) is None
    assert delivery.unpinged
    assert round_trip(delivery, []) == window(1)
    assert round_trip(delivery, []) == window(2, 3)


def test_events_are_acknowledged_a_short_time_after_their_first_pong_and_not_before() -> None:
    delivery, events = Receipts(), some(1, 3)
    round_trip(delivery, events, 5.0)
    round_trip(delivery, [], 5.01)
    assert delivery.proven_s == 5.0 + PROVEN_AFTER_S
    assert delivery.proven(5.09) == [] and delivery.unproven == 3
    assert delivery.proven(delivery.proven_s) == events
    assert (delivery.unproven, delivery.proven_s) == (0, NEVER)


def test_after_an_error_nothing_is_acknowledged_not_even_events_with_two_pongs() -> None:
    delivery = Receipts()
    round_trip(delivery, some(1, 3), 5.0)
    round_trip(delivery, some(2, 2), 5.01)
    delivery.lost()
    assert delivery.proven(9.0) == [] and delivery.proven_s == NEVER
    assert (delivery.disowned, delivery.unproven) == (1, 5)


def test_all_errors_have_come_a_short_time_after_the_last_pongs() -> None:
    delivery = Receipts()
    round_trip(delivery, some(1), 5.0)
    assert delivery.errors_complete_s == NEVER
    delivery.lost()
    assert delivery.errors_complete_s == NEVER  # the second pong is to come
    assert round_trip(delivery, [], 5.01) is None
    assert delivery.errors_complete_s == 5.0 + PROVEN_AFTER_S


def test_an_error_while_nothing_is_under_way_needs_no_wait() -> None:
    delivery = Receipts()
    delivery.lost()
    assert delivery.errors_complete_s == NOW


def test_a_refused_event_is_reported_once_with_its_window() -> None:
    delivery = Receipts()
    round_trip(delivery, some(1))
    delivery.refused("channel must be one of …")  # overtaken by the first pong
    refused = RefusedEvent("channel must be one of …", window(1).delivered)
    assert round_trip(delivery, some(2)) == window(1, refused=(refused,))
    assert round_trip(delivery, []) == window(2)


def test_an_error_while_nothing_is_under_way_is_about_no_event() -> None:
    delivery = Receipts()
    round_trip(delivery, some(1), 1.0)
    round_trip(delivery, [], 1.1)
    delivery.proven(2.0)
    delivery.refused("Takaro does not know this message")
    round_trip(delivery, some(2), 2.0)
    assert round_trip(delivery, [], 2.1) == window(2, ponged_s=2.0)


def test_a_refusal_names_all_events_that_are_not_acknowledged_and_no_others() -> None:
    delivery = Receipts()
    round_trip(delivery, some(1), 1.0)
    round_trip(delivery, some(2), 1.1)
    delivery.proven(2.0)
    round_trip(delivery, some(3), 2.0)
    delivery.written(some(4))
    delivery.pinged(0.0)
    delivery.written(some(5))
    delivery.refused("why")
    taken = delivery.ponged(2.1)
    under_way = tuple(event.event for number in (2, 3, 4, 5) for event in some(number))
    assert taken == window(3, ponged_s=2.0, refused=(RefusedEvent("why", under_way),))


@given(st.lists(st.tuples(st.integers(0, 32), st.sampled_from([0.0, 0.01, 0.2])), max_size=30))
def test_events_are_acknowledged_in_order_each_once_and_never_before_two_pongs(
    rounds: list[tuple[int, float]],
) -> None:
    delivery, now_s = Receipts(), 0.0
    written: list[StreamEvent] = []
    proven: list[StreamEvent] = []
    before = 0
    for number, (count, took_s) in enumerate(rounds):
        before = len(written)
        written += (events := some(number, count))
        now_s += took_s
        round_trip(delivery, events, now_s)
        proven += delivery.proven(now_s)
        assert len(proven) <= before
        assert delivery.unproven == len(written) - len(proven)
    for _ in range(2):
        round_trip(delivery, [], now_s)
    proven += delivery.proven(now_s + PROVEN_AFTER_S)
    assert proven == written and delivery.unproven == 0
