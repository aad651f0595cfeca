"""The states of a link: every move is in the table, and no other move changes anything."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.protocol.link_states import LinkState
from services.uplink.connection.states import MOVES, IllegalMove, LinkTrigger, after


@pytest.mark.parametrize(
    ("happenings", "state"),
    [
        ("dialled opened identified", LinkState.READY),
        ("dialled lost", LinkState.WAITING),
        ("dialled opened lost", LinkState.WAITING),
        ("dialled opened not_now dialled", LinkState.CONNECTING),
        ("dialled opened never", LinkState.REFUSED),
        ("dialled opened never dialled opened identified", LinkState.READY),
        ("dialled opened identified disowned asked_again identified", LinkState.READY),
        ("dialled opened identified disowned asked_again never", LinkState.REFUSED),
        ("dialled opened identified lost dialled opened identified stopped", LinkState.STOPPED),
    ],
)
def test_a_link_moves_only_as_the_table_says(happenings: str, state: LinkState) -> None:
    now = LinkState.WAITING
    for name in happenings.split():
        now = after(now, LinkTrigger[name.upper()])
    assert now is state


@pytest.mark.parametrize(
    ("state", "trigger"), [p for p in product(LinkState, LinkTrigger) if p[1] not in MOVES[p[0]]]
)
def test_a_move_that_is_not_in_the_table_names_both(state: LinkState, trigger: LinkTrigger) -> None:
    with pytest.raises(IllegalMove) as error:
        after(state, trigger)
    assert state.value in str(error.value) and trigger.value in str(error.value)


def test_every_state_but_the_last_can_be_stopped_and_every_state_can_be_reached() -> None:
    assert all(
        LinkTrigger.STOPPED in moves for state, moves in MOVES.items() if state is not LinkState.STOPPED
    )
    assert {target for moves in MOVES.values() for target in moves.values()} == set(LinkState)


@given(st.lists(st.sampled_from(LinkTrigger)))
def test_events_flow_only_after_an_identify_on_the_socket_that_is_open(happenings: list[LinkTrigger]) -> None:
    state, identified = LinkState.WAITING, False
    for trigger in happenings:
        try:
            state = after(state, trigger)
        except IllegalMove:
            continue
        identified = trigger is LinkTrigger.IDENTIFIED
        assert (state is LinkState.READY) is identified
