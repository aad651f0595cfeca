"""The table of a command's moves: what a person is told at its end must be true of the way there."""

import pytest

from services.relay.protocol.command_states import (
    MOVES,
    TOLD,
    CommandLane,
    CommandState,
    CommandTrigger,
    after,
    lane_of,
)
from services.relay.protocol.vocabulary import Action

ENDS = [state for state in CommandState if not MOVES[state]]


def test_every_state_has_its_moves_and_can_be_reached() -> None:
    assert set(MOVES) == set(CommandState)
    assert {CommandState.NEW} | {to for moves in MOVES.values() for to in moves.values()} == set(CommandState)


def test_every_end_has_its_words_and_nothing_else_has() -> None:
    assert list(TOLD) == ENDS


def test_it_is_handed_out_from_new_only_and_nothing_leads_back_there_once_an_answer_was_written() -> None:
    assert [state for state in CommandState if CommandTrigger.TAKEN in MOVES[state]] == [CommandState.NEW]
    back = {trigger for moves in MOVES.values() for trigger, to in moves.items() if to is CommandState.NEW}
    assert back == {CommandTrigger.HANDED_BACK}


def test_what_is_called_not_delivered_was_never_handed_out() -> None:
    assert [state for state in CommandState if CommandState.EXPIRED in MOVES[state].values()] == [
        CommandState.NEW
    ]


@pytest.mark.parametrize("state", ENDS)
@pytest.mark.parametrize("trigger", CommandTrigger)
def test_an_end_is_an_end(state: CommandState, trigger: CommandTrigger) -> None:
    assert after(state, trigger) is state


@pytest.mark.parametrize("action", Action)
def test_what_changes_the_game_goes_first(action: Action) -> None:
    asks = action.startswith(("get", "list", "test"))
    assert lane_of(action) is (CommandLane.READS if asks else CommandLane.WRITES)
    assert lane_of(action, somebody_waits=False) is (CommandLane.REFRESHES if asks else CommandLane.WRITES)
