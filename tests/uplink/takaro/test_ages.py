"""What is too old for Takaro, by type; and how old it is by a clock that is not ours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.records import GameEvent
from services.relay.vocabulary import EventType
from services.uplink.takaro.ages import MAX_AGE_S, StoreClock, sort_out

TAKE_OVER_S = 7.0
DAY_S = 86_400.0


def event(event_type: str) -> GameEvent:
    return {"type": event_type, "data": {}}


@pytest.mark.parametrize(
    ("event_type", "age_s", "delivered"),
    [
        ("chat-message", TAKE_OVER_S, True),
        ("chat-message", 20, False),
        ("log", 5 * 60, True),
        ("log", 11 * 60, False),
        ("player-connected", DAY_S, True),
        ("player-disconnected", DAY_S, True),
        ("player-death", DAY_S, True),
        ("entity-killed", DAY_S, True),
        ("player-death", 8 * DAY_S, False),
        ("chat-message", -3, True),  # Redis' clock was set back
    ],
)
def test_what_is_still_delivered(event_type: str, age_s: float, delivered: bool) -> None:
    one = event(event_type)
    assert sort_out([one], age_s) == (([one], []) if delivered else ([], [one]))


def test_the_table_knows_every_event() -> None:
    assert set(MAX_AGE_S) == set(EventType)


@given(st.lists(st.sampled_from(EventType)), st.floats(min_value=-10, max_value=10 * DAY_S))
def test_nothing_is_lost_and_order_is_kept(types: list[EventType], age_s: float) -> None:
    events = [event(event_type.value) for event_type in types]
    fresh, old = sort_out(events, age_s)
    assert fresh == [e for e in events if MAX_AGE_S[EventType(e["type"])] >= age_s]
    assert old == [e for e in events if MAX_AGE_S[EventType(e["type"])] < age_s]


def test_the_clock_of_the_store_is_reckoned_on_from_ours() -> None:
    assert StoreClock(store_s=1_700_000_000.0, read_s=50.0).at_s(62.5) == 1_700_000_012.5
