"""The table of a command's moves: what a person is told at its end must be true of the way there."""

import pytest

from services.relay.command_life import MOVES, TOLD, Happening, Lane, State, after, lane_of
from services.relay.vocabulary import Action

ENDS = [state for state in State if not MOVES[state]]


def test_every_state_has_its_moves_and_can_be_reached() -> None:
    assert set(MOVES) == set(State)
    assert {State.NEW} | {to for moves in MOVES.values() for to in moves.values()} == set(State)


def test_every_end_has_its_words_and_nothing_else_has() -> None:
    assert list(TOLD) == ENDS


def test_it_is_handed_out_from_new_only_and_nothing_leads_back_there_once_an_answer_was_written() -> None:
    assert [state for state in State if Happening.TAKEN in MOVES[state]] == [State.NEW]
    back = {happening for moves in MOVES.values() for happening, to in moves.items() if to is State.NEW}
    assert back == {Happening.HANDED_BACK}


def test_what_is_called_not_delivered_was_never_handed_out() -> None:
    assert [state for state in State if State.EXPIRED in MOVES[state].values()] == [State.NEW]


@pytest.mark.parametrize("state", ENDS)
@pytest.mark.parametrize("happening", Happening)
def test_an_end_is_an_end(state: State, happening: Happening) -> None:
    assert after(state, happening) is state


@pytest.mark.parametrize("action", Action)
def test_what_changes_the_game_goes_first(action: Action) -> None:
    asks = action.startswith(("get", "list", "test"))
    assert lane_of(action) is (Lane.READS if asks else Lane.WRITES)
    assert lane_of(action, somebody_waits=False) is (Lane.REFRESHES if asks else Lane.WRITES)
