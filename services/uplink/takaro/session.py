"""The moves of the link to Takaro from state to state, every one there is (contract.md B1). Pure.

A happening that the table does not list for a state is an error, and changes nothing.
"""

from enum import Enum, unique

from services.relay.errors import RelayError
from services.relay.link_state import State


@unique
class Happening(Enum):
    """What moves a link from state to state."""

    DIALLED = "dialled"
    OPENED = "opened"
    IDENTIFIED = "identified"
    NOT_NOW = "not now"  # identify failed for a passing reason, or was not answered
    NEVER = "never"  # identify failed for a reason that only a person can mend
    DISOWNED = "disowned"  # "Internal error handling game event"
    ASKED_AGAIN = "asked again"  # a second identify on the same socket
    LOST = "lost"  # the socket is gone, or never came
    STOPPED = "stopped"  # we end it


_S, _H = State, Happening

MOVES: dict[State, dict[Happening, State]] = {
    _S.WAITING: {_H.DIALLED: _S.CONNECTING, _H.STOPPED: _S.STOPPED},
    _S.CONNECTING: {_H.OPENED: _S.IDENTIFYING, _H.LOST: _S.WAITING, _H.STOPPED: _S.STOPPED},
    _S.IDENTIFYING: {
        _H.IDENTIFIED: _S.READY,
        _H.NOT_NOW: _S.WAITING,
        _H.NEVER: _S.REFUSED,
        _H.LOST: _S.WAITING,
        _H.STOPPED: _S.STOPPED,
    },
    _S.READY: {_H.DISOWNED: _S.PAUSED, _H.LOST: _S.WAITING, _H.STOPPED: _S.STOPPED},
    _S.PAUSED: {_H.ASKED_AGAIN: _S.IDENTIFYING, _H.LOST: _S.WAITING, _H.STOPPED: _S.STOPPED},
    _S.REFUSED: {_H.DIALLED: _S.CONNECTING, _H.STOPPED: _S.STOPPED},
    _S.STOPPED: {},
}


class IllegalMove(RelayError):
    """Our own mistake: this cannot happen in that state."""

    def __init__(self, state: State, happening: Happening) -> None:
        super().__init__(f"'{happening.value}' cannot happen while {state.value}")
        self.state = state
        self.happening = happening


def after(state: State, happening: Happening) -> State:
    """The state that follows. Raises IllegalMove."""
    try:
        return MOVES[state][happening]
    except KeyError:
        raise IllegalMove(state, happening) from None
