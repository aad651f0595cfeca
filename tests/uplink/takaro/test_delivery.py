"""What counts as taken by Takaro: the pong of the window after, and no complaint in between."""

from hypothesis import given
from hypothesis import strategies as st

from services.relay.records import GameEvent
from services.uplink.takaro.delivery import Delivery, Position, Refused, Taken, Window

BARE = Window((), Position("9-0", 0))


def window(number: int, count: int = 1) -> Window:
    event: GameEvent = {"type": "log", "data": {"msg": str(number)}}
    return Window((event,) * count, Position(f"{number}-0", 0), 10)


def test_one_pong_proves_nothing_yet() -> None:
    delivery = Delivery()
    delivery.sent(window(1))
    assert delivery.ponged() is None
    assert delivery.unconfirmed == 1


def test_the_pong_of_the_next_window_proves_the_one_before() -> None:
    delivery = Delivery()
    delivery.sent(window(1))
    delivery.ponged()
    delivery.sent(window(2))
    assert delivery.unconfirmed == 2
    assert delivery.ponged() == Taken(window(1), ())
    assert delivery.unconfirmed == 1


def test_a_bare_ping_proves_the_last_window_when_nothing_follows() -> None:
    delivery = Delivery()
    delivery.sent(window(1))
    delivery.ponged()
    delivery.sent(BARE)
    assert delivery.ponged() == Taken(window(1), ())
    assert delivery.unconfirmed == 0


def test_bare_pings_prove_nothing_themselves() -> None:
    delivery = Delivery()
    for _ in range(3):
        delivery.sent(BARE)
        assert delivery.ponged() is None


def test_a_refused_event_is_told_with_its_window_and_only_once() -> None:
    delivery = Delivery()
    delivery.sent(window(1))
    delivery.ponged()
    delivery.refused("channel must be one of …")  # overtaken by the first pong
    delivery.sent(window(2))
    assert delivery.ponged() == Taken(window(1), (Refused("channel must be one of …", window(1).events),))
    delivery.sent(BARE)
    assert delivery.ponged() == Taken(window(2), ())


def test_a_refusal_names_the_events_of_every_window_that_was_under_way_and_no_others() -> None:
    delivery = Delivery()
    delivery.sent(window(1))
    delivery.refused("first")  # nothing else was sent
    delivery.ponged()
    delivery.sent(window(2))
    delivery.refused("second")  # before its pong: it may be of either
    both = window(1).events + window(2).events
    assert delivery.ponged() == Taken(
        window(1), (Refused("first", window(1).events), Refused("second", both))
    )
    delivery.sent(window(3))
    assert delivery.ponged() == Taken(window(2), ())


def test_nothing_is_taken_from_a_takaro_that_lost_our_server() -> None:
    delivery = Delivery()
    delivery.sent(window(1, 3))
    delivery.ponged()
    delivery.sent(window(2, 2))
    delivery.lost()
    assert delivery.ponged() is None
    assert (delivery.disowned, delivery.unconfirmed) == (1, 5)


def test_a_window_of_which_all_is_too_old_is_taken_like_any_other() -> None:
    delivery = Delivery()
    old = Window((), Position("1-0", 0), 10, window(1, 2).events)
    delivery.sent(old)
    delivery.ponged()
    assert (delivery.unconfirmed, delivery.under_way) == (0, True)
    delivery.sent(BARE)
    assert delivery.ponged() == Taken(old, ())
    assert not delivery.under_way


def test_what_became_too_old_before_its_turn_leaves_its_window_but_not_its_twin() -> None:
    delivery = Delivery()
    first, second = (GameEvent(type="log", data={"msg": "same"}) for _ in range(2))
    delivery.sent(Window((first, second), Position("1-0", 0)))
    delivery.expired([second])
    delivery.ponged()
    delivery.sent(BARE)
    taken = delivery.ponged()
    assert taken and (len(taken.window.events), len(taken.window.expired)) == (1, 1)
    assert taken.window.events[0] is first and taken.window.counts == 2


@given(st.lists(st.integers(min_value=0, max_value=32), max_size=30))
def test_windows_are_taken_in_order_each_once_and_never_before_two_pongs(counts: list[int]) -> None:
    delivery, taken = Delivery(), []
    for number, count in enumerate(counts):
        delivery.sent(window(number, count) if count else BARE)
        if receipt := delivery.ponged():
            assert receipt.window.end < Position(f"{number}-0", 0) or number > 9
            taken.append(receipt.window)
    assert taken == [window(n, c) for n, c in enumerate(counts[:-1]) if c]
