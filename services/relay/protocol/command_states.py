"""Ids and states of commands, and the moves between states: handed out once, in time, answered once. Pure.

The scripts enqueue, hand_out, hand_back, complete and give_up make these moves by Redis' clock. A trigger
that the table does not list for a state changes nothing and is no error: polls cross each other, mods repeat
results and are late, replies get lost.
"""

import secrets
from enum import Enum, unique

from services.relay.protocol.vocabulary import Action


@unique
class CommandState(Enum):
    """The state of a command. The value is the word that the scripts return."""

    NEW = "new"  # waits for a poll
    HANDED = "handed"  # a poll took it; marked before the answer is written
    ANSWERED = "answered"
    EXPIRED = "expired"  # it never left the relay
    UNKNOWN = "unknown"  # it left the relay, and no result came


@unique
class CommandTrigger(Enum):
    """What moves a command to another state."""

    TAKEN = "a poll takes it"
    HANDED_BACK = "the mod had hung up before its answer was written"
    TIME_UP = "its deadline passes"
    RESULT = "the first result"
    GIVEN_UP = "uplink gives up"
    FORGOTTEN = "nobody asks any more"  # the uplink that asked died, so it cannot give up


State, On = CommandState, CommandTrigger

MOVES: dict[CommandState, dict[CommandTrigger, CommandState]] = {
    State.NEW: {On.TAKEN: State.HANDED, On.TIME_UP: State.EXPIRED, On.GIVEN_UP: State.EXPIRED},
    State.HANDED: {
        On.HANDED_BACK: State.NEW,
        On.RESULT: State.ANSWERED,
        On.GIVEN_UP: State.UNKNOWN,
        On.FORGOTTEN: State.UNKNOWN,
    },
    State.ANSWERED: {},
    State.EXPIRED: {},
    State.UNKNOWN: {},
}

NOT_DELIVERED = "not delivered"
MAY_HAVE_RUN = "delivered, no result: it may have run"

ANSWERS: dict[CommandState, str] = {
    State.ANSWERED: "the result, or the mod's own words why it refused",
    State.EXPIRED: NOT_DELIVERED,
    State.UNKNOWN: MAY_HAVE_RUN,
}
"""What Takaro hears at the end of a command. A person who gave an item must be able to tell these apart."""


def after(state: CommandState, trigger: CommandTrigger) -> CommandState:
    """The next state; the same state if the table lists no such move."""
    return MOVES[state].get(trigger, state)


def new_operation_id(action: Action) -> str:
    """A unique id that nobody can guess, such as `giveItem-8f2c…`. It has the action, so a result can be read
    without a look-up of its command."""
    return f"{action}-{secrets.token_hex(12)}"


def action_of(operation_id: str) -> Action | None:
    """The action in an operation id, None if the id is not one of ours."""
    try:
        return Action(operation_id.partition("-")[0])
    except ValueError:
        return None
