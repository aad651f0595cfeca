"""Which events are too old for Takaro, by type."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.protocol.records import GameEvent
from services.relay.protocol.vocabulary import EventType
from services.relay.store.clock import UNKNOWN, AgeRange
from services.uplink.events.ages import HISTORY_S, MAX_AGE_S, YOUNG_S, is_too_old

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
def test_an_event_is_delivered_up_to_the_age_of_its_type(
    event_type: str, age_s: float, delivered: bool
) -> None:
    assert is_too_old(event(event_type), AgeRange(age_s, age_s)) is not delivered


def test_an_event_of_a_type_that_only_a_newer_version_knows_has_the_age_limit_of_history() -> None:
    unknown = event("player-levelled-up")
    assert not is_too_old(unknown, AgeRange(DAY_S, DAY_S))
    assert not is_too_old(unknown, UNKNOWN)
    assert is_too_old(unknown, AgeRange(8 * DAY_S, 8 * DAY_S))


def test_the_table_knows_every_event() -> None:
    assert set(MAX_AGE_S) == set(EventType)


@given(
    st.sampled_from(EventType),
    st.floats(min_value=-10, max_value=10 * DAY_S),
    st.floats(min_value=0, max_value=10 * DAY_S),
)
def test_the_table_decides_which_events_are_too_old(
    event_type: EventType, age_s: float, more_s: float
) -> None:
    age, most_s = AgeRange(age_s, age_s + more_s), MAX_AGE_S[event_type]
    counts_s = age.least_s if most_s >= HISTORY_S else age.most_s
    assert is_too_old(event(event_type), age) == (counts_s > most_s)
    assert age.most_s > YOUNG_S or not is_too_old(event(event_type), age)


@pytest.mark.parametrize("event_type", EventType)
def test_an_event_of_unknown_age_is_delivered_only_if_it_may_come_late(event_type: EventType) -> None:
    late = event_type not in (EventType.CHAT_MESSAGE, EventType.LOG)
    assert is_too_old(event(event_type.value), UNKNOWN) is not late
    assert UNKNOWN.most_s > YOUNG_S
