"""The table of a command's states: the answer at each end must be true."""

import pytest

from services.relay.protocol.command_states import (
    ANSWERS,
    MOVES,
    CommandState,
    CommandTrigger,
    after,
)
from services.relay.protocol.vocabulary import ACTION_KINDS, Action, ActionKind

ENDS = [state for state in CommandState if not MOVES[state]]


def test_every_state_is_in_the_table_and_can_be_reached() -> None:
    assert set(MOVES) == set(CommandState)
    assert {CommandState.NEW} | {to for moves in MOVES.values() for to in moves.values()} == set(CommandState)


def test_every_end_has_an_answer_and_no_other_state_has_one() -> None:
    assert list(ANSWERS) == ENDS


def test_only_a_new_command_is_handed_out_and_only_a_hand_back_makes_it_new_again() -> None:
    assert [state for state in CommandState if CommandTrigger.TAKEN in MOVES[state]] == [CommandState.NEW]
    back = {trigger for moves in MOVES.values() for trigger, to in moves.items() if to is CommandState.NEW}
    assert back == {CommandTrigger.HANDED_BACK}


def test_a_command_that_is_not_delivered_was_never_handed_out() -> None:
    assert [state for state in CommandState if CommandState.EXPIRED in MOVES[state].values()] == [
        CommandState.NEW
    ]


@pytest.mark.parametrize("state", ENDS)
@pytest.mark.parametrize("trigger", CommandTrigger)
def test_no_trigger_moves_a_command_that_has_ended(state: CommandState, trigger: CommandTrigger) -> None:
    assert after(state, trigger) is state


@pytest.mark.parametrize("action", Action)
def test_an_action_is_a_write_unless_its_name_asks_for_something(action: Action) -> None:
    asks = action.startswith(("get", "list", "test"))
    assert (ACTION_KINDS[action] is ActionKind.WRITE) is not asks
