"""What is too old for Takaro, by type."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.records import GameEvent
from services.relay.store_time import UNKNOWN, Age
from services.relay.vocabulary import EventType
from services.uplink.takaro.ages import MAX_AGE_S, sort_out

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
    assert sort_out([one], Age(age_s, age_s)) == (([one], []) if delivered else ([], [one]))


def test_the_table_knows_every_event() -> None:
    assert set(MAX_AGE_S) == set(EventType)


@given(st.lists(st.sampled_from(EventType)), st.floats(min_value=-10, max_value=10 * DAY_S))
def test_nothing_is_lost_and_order_is_kept(types: list[EventType], age_s: float) -> None:
    events = [event(event_type.value) for event_type in types]
    fresh, old = sort_out(events, Age(age_s, age_s))
    assert fresh == [e for e in events if MAX_AGE_S[EventType(e["type"])] >= age_s]
    assert old == [e for e in events if MAX_AGE_S[EventType(e["type"])] < age_s]


@pytest.mark.parametrize("event_type", EventType)
def test_of_unknown_age_only_what_may_come_late_is_delivered(event_type: EventType) -> None:
    one = event(event_type.value)
    late = event_type not in (EventType.CHAT_MESSAGE, EventType.LOG)
    assert sort_out([one], UNKNOWN) == (([one], []) if late else ([], [one]))
