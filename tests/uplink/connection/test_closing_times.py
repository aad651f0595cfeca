"""The moments by which a stopping uplink leaves its sockets."""

from hypothesis import given
from hypothesis import strategies as st

from services.relay.protocol.vocabulary import ANSWER_WITHIN_S
from services.uplink.connection.closing_times import (
    END_KNOWN_WITHIN_S,
    LAST_ANSWERS_S,
    RUN_WITHIN_S,
    STOP_WITHIN_S,
    closing_times,
    polls_soon,
)
from services.uplink.requests.results import COMMAND_TIMES

MOMENTS_S = st.floats(min_value=0.0, max_value=1e6)


@given(MOMENTS_S, st.floats(min_value=-5.0, max_value=30.0), st.booleans(), st.booleans())
def test_the_moments_come_in_their_order_and_never_in_the_past(
    now_s: float, within_s: float, mod_polls: bool, has_successor: bool
) -> None:
    how = closing_times(now_s, now_s + within_s, mod_polls=mod_polls, has_successor=has_successor)
    moments = how.refused_from_s, how.fetched_by_s, how.answered_by_s, how.cut_short_s, how.closed_by_s
    assert now_s <= min(moments) and list(moments) == sorted(moments)


def test_a_command_fetched_in_time_has_time_to_run() -> None:
    how = closing_times(0.0, STOP_WITHIN_S, mod_polls=True, has_successor=True)
    assert how.answered_by_s - how.fetched_by_s >= RUN_WITHIN_S
    assert (
        how.cut_short_s - how.answered_by_s
        >= END_KNOWN_WITHIN_S
        >= COMMAND_TIMES.give_up_within_s + COMMAND_TIMES.read_within_s
    )
    assert how.closed_by_s - how.cut_short_s >= LAST_ANSWERS_S
    assert how.fetched_by_s >= 4.0  # two polls of a mod, at their pace of 2 s


def test_without_polls_no_command_is_waited_for() -> None:
    how = closing_times(100.0, 108.0, mod_polls=False, has_successor=True)
    assert how.fetched_by_s == 100.0 < how.answered_by_s


def test_without_a_successor_new_requests_are_refused_at_once() -> None:
    how = closing_times(100.0, 108.0, mod_polls=True, has_successor=False)
    assert how.refused_from_s == 100.0 < how.fetched_by_s


def test_a_mod_that_was_heard_of_lately_polls() -> None:
    assert [polls_soon(silent_s) for silent_s in (0.0, 16.0, 60.0, None)] == [True, True, False, False]


def test_all_limits_of_an_answer_together_are_shorter_than_takaros_10_s() -> None:
    assert ANSWER_WITHIN_S + COMMAND_TIMES.give_up_within_s + COMMAND_TIMES.read_within_s < 10.0
