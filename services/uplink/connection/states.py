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


State, On = LinkState, LinkTrigger

MOVES: dict[LinkState, dict[LinkTrigger, LinkState]] = {
    State.WAITING: {On.DIALLED: State.CONNECTING, On.STOPPED: State.STOPPED},
    State.CONNECTING: {On.OPENED: State.IDENTIFYING, On.LOST: State.WAITING, On.STOPPED: State.STOPPED},
    State.IDENTIFYING: {
        On.IDENTIFIED: State.READY,
        On.NOT_NOW: State.WAITING,
        On.NEVER: State.REFUSED,
        On.LOST: State.WAITING,
        On.STOPPED: State.STOPPED,
    },
    State.READY: {On.DISOWNED: State.PAUSED, On.LOST: State.WAITING, On.STOPPED: State.STOPPED},
    State.PAUSED: {On.ASKED_AGAIN: State.IDENTIFYING, On.LOST: State.WAITING, On.STOPPED: State.STOPPED},
    State.REFUSED: {On.DIALLED: State.CONNECTING, On.STOPPED: State.STOPPED},
    State.STOPPED: {},
}


class IllegalMove(RelayError):
    """A fault of our own code: this trigger cannot happen in that state."""


def after(state: LinkState, trigger: LinkTrigger) -> LinkState:
    """The state that follows. Raises IllegalMove."""
    try:
        return MOVES[state][trigger]
    except KeyError:
        raise IllegalMove(f"'{trigger.value}' cannot happen while {state.value}") from None
