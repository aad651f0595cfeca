"""The table of all moves of a link from state to state (protocol.md T1 to T3). Pure.

A trigger that the table does not list for a state is an error and changes nothing.
"""

from enum import Enum, unique

from services.relay.protocol.errors import RelayError
from services.relay.protocol.link_states import LinkState


@unique
class LinkTrigger(Enum):
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


_S, _H = LinkState, LinkTrigger

MOVES: dict[LinkState, dict[LinkTrigger, LinkState]] = {
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
    """A fault of our own code: this trigger cannot happen in that state."""


def after(state: LinkState, trigger: LinkTrigger) -> LinkState:
    """The state that follows. Raises IllegalMove."""
    try:
        return MOVES[state][trigger]
    except KeyError:
        raise IllegalMove(f"'{trigger.value}' cannot happen while {state.value}") from None
