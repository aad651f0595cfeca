"""The states of a link: every move is in the table, and no other move changes anything."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.link_state import State
from services.uplink.takaro.session import MOVES, Happening, IllegalMove, after


@pytest.mark.parametrize(
    ("happenings", "state"),
    [
        ("dialled opened identified", State.READY),
        ("dialled lost", State.WAITING),
        ("dialled opened lost", State.WAITING),
        ("dialled opened not_now dialled", State.CONNECTING),
        ("dialled opened never", State.REFUSED),
        ("dialled opened never dialled opened identified", State.READY),
        ("dialled opened identified disowned asked_again identified", State.READY),
        ("dialled opened identified disowned asked_again never", State.REFUSED),
        ("dialled opened identified lost dialled opened identified stopped", State.STOPPED),
    ],
)
def test_the_ways_of_a_link(happenings: str, state: State) -> None:
    now = State.WAITING
    for name in happenings.split():
        now = after(now, Happening[name.upper()])
    assert now is state


@pytest.mark.parametrize(
    ("state", "happening"), [p for p in product(State, Happening) if p[1] not in MOVES[p[0]]]
)
def test_a_move_that_is_not_in_the_table_names_both(state: State, happening: Happening) -> None:
    with pytest.raises(IllegalMove) as error:
        after(state, happening)
    assert state.value in str(error.value) and happening.value in str(error.value)


def test_every_state_but_the_last_can_be_stopped_and_every_state_can_be_reached() -> None:
    assert all(Happening.STOPPED in moves for state, moves in MOVES.items() if state is not State.STOPPED)
    assert {target for moves in MOVES.values() for target in moves.values()} == set(State)


@given(st.lists(st.sampled_from(Happening)))
def test_events_flow_only_after_an_identify_on_the_socket_that_is_open(happenings: list[Happening]) -> None:
    state, identified = State.WAITING, False
    for happening in happenings:
        try:
            state = after(state, happening)
        except IllegalMove:
            continue
        identified = happening is Happening.IDENTIFIED
        assert (state is State.READY) is identified
