"""The states of a command, and every move there is: handed out once, in time, answered once. Pure.

The scripts enqueue, take, hand_back, complete and give_up make these moves on Redis' own clock. What the
table does not list changes nothing and is no error: polls cross each other, mods repeat and come late,
replies get lost.
"""

from enum import Enum, IntEnum, unique

from services.relay.protocol.vocabulary import ACTION_RULES, Action, ActionKind


@unique
class CommandState(Enum):
    """How far a command came. The value is what the scripts say."""

    NEW = "new"  # waits for a poll
    HANDED = "handed"  # marked before the answer to the poll is written
    ANSWERED = "answered"
    EXPIRED = "expired"  # never left the relay
    UNKNOWN = "unknown"  # left it, and nothing was heard


@unique
class CommandTrigger(Enum):
    """What moves a command from state to state."""

    TAKEN = "a poll takes it"
    HANDED_BACK = "the mod had hung up before its answer was written"
    TIME_UP = "its deadline passes"
    RESULT = "the first result"
    GIVEN_UP = "uplink gives up"
    FORGOTTEN = "nobody asks any more"  # uplink died: nobody is left to give up


_S, _H = CommandState, CommandTrigger

MOVES: dict[CommandState, dict[CommandTrigger, CommandState]] = {
    _S.NEW: {_H.TAKEN: _S.HANDED, _H.TIME_UP: _S.EXPIRED, _H.GIVEN_UP: _S.EXPIRED},
    _S.HANDED: {
        _H.HANDED_BACK: _S.NEW,
        _H.RESULT: _S.ANSWERED,
        _H.GIVEN_UP: _S.UNKNOWN,
        _H.FORGOTTEN: _S.UNKNOWN,
    },
    _S.ANSWERED: {},
    _S.EXPIRED: {},
    _S.UNKNOWN: {},
}

NOT_DELIVERED = "not delivered"
MAY_HAVE_RUN = "delivered, no result: it may have run"

TOLD: dict[CommandState, str] = {
    _S.ANSWERED: "the result, or the mod's own words why it refused",
    _S.EXPIRED: NOT_DELIVERED,
    _S.UNKNOWN: MAY_HAVE_RUN,
}
"""What Takaro hears at each end: a person who gave an item must be able to tell these apart."""


def after(state: CommandState, trigger: CommandTrigger) -> CommandState:
    """The state that follows: the same one when the table lists no such move."""
    return MOVES[state].get(trigger, state)


class CommandLane(IntEnum):
    """Who goes first when a poll cannot carry everything; the lower number does."""

    WRITES = 0
    READS = 1  # somebody waits for the answer
    REFRESHES = 2  # nobody waits: no reason to wake a poll that is held


def lane_of(action: Action, *, somebody_waits: bool = True) -> CommandLane:
    """What is to be done goes before what is to be known, and that before what would be good to know."""
    if ACTION_RULES[action].kind is ActionKind.WRITE:
        return CommandLane.WRITES
    return CommandLane.READS if somebody_waits else CommandLane.REFRESHES
