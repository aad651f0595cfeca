"""The table of reads: every read has a row, and ages fall where the row says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.protocol.vocabulary import ACTION_KINDS, Action, ActionKind
from services.uplink.requests.mirror.mirror import age_of
from services.uplink.requests.mirror.read_rules import READ_RULES, AnswerAge


def test_every_read_has_a_rule_and_nothing_else_has() -> None:
    assert set(READ_RULES) == {action for action, kind in ACTION_KINDS.items() if kind is ActionKind.READ}


@pytest.mark.parametrize("action", READ_RULES)
def test_fresh_ends_before_known_does(action: Action) -> None:
    assert 0 < READ_RULES[action].fresh_s < READ_RULES[action].known_s


@pytest.mark.parametrize("action", READ_RULES)
@given(old_s=st.floats(min_value=-1e6, max_value=1e8))
def test_an_answer_only_ever_ages(action: Action, old_s: float) -> None:
    order = [AnswerAge.FRESH, AnswerAge.STALE, AnswerAge.UNKNOWN]
    now_s = 2e9
    younger, older = age_of(action, now_s - old_s, now_s), age_of(action, now_s - old_s - 1, now_s)
    assert order.index(younger) <= order.index(older)
    assert age_of(action, None, now_s) is AnswerAge.UNKNOWN


def test_a_position_is_good_for_ever_because_an_event_is_lost_without_one() -> None:
    assert age_of(Action.GET_PLAYER_LOCATION, 0.0, 2e9) is AnswerAge.STALE
