"""How events, commands and retried dead letters end: the words of the API, and those that people read."""

from enum import StrEnum

from services.relay.protocol.command_states import MAY_HAVE_RUN, NOT_DELIVERED


class EventState(StrEnum):
    WAITING = "waiting"  # it is not sent yet
    DELIVERED = "delivered"  # Takaro has it
    EXPIRED = "expired"
    REFUSED = "refused"  # Takaro refused it or one beside it
    DEAD = "dead"


class CommandEnd(StrEnum):
    """How a command ended. A label of a metric: the set is fixed."""

    ANSWERED = "answered"
    NOT_DELIVERED = "not_delivered"
    NO_RESULT = "no_result"
    REFUSED = "refused"  # by the mod
    QUEUE_FULL = "queue_full"
    NEVER_SEEN = "never_seen"
    STORE_AWAY = "store_away"
    STORE_REFUSED = "store_refused"
    FAULT = "fault"  # of our own code


STATE_WORDS: dict[str, str] = {
    EventState.WAITING: "waiting for Takaro",
    EventState.DELIVERED: "delivered",
    EventState.EXPIRED: "expired: too old to be sent",
    EventState.DEAD: "dead letter",
    CommandEnd.ANSWERED: "done",
    CommandEnd.REFUSED: "refused",
    CommandEnd.NOT_DELIVERED: NOT_DELIVERED,
    CommandEnd.NO_RESULT: MAY_HAVE_RUN,
    CommandEnd.QUEUE_FULL: f"{NOT_DELIVERED}: too many commands wait",
    CommandEnd.NEVER_SEEN: f"{NOT_DELIVERED}: the mod has never called",
    CommandEnd.STORE_AWAY: "unknown: Redis was away",
    CommandEnd.STORE_REFUSED: f"{NOT_DELIVERED}: Redis refused it",
    CommandEnd.FAULT: "unknown: a fault of the relay",
}
"""Of events and commands. An uplink of another version may have an end that is not among them."""


class RetryOutcome(StrEnum):
    """The outcome of the second try of a dead letter."""

    TAKEN = "taken"  # it is no dead letter any more
    DEAD_AGAIN = "dead_again"  # it became a new dead letter
    NOT_POSSIBLE = "not_possible"  # it stays: Takaro refused it, or not all of it was kept
    FULL = "full"  # it stays


RETRY_WORDS: dict[str, str] = {
    RetryOutcome.TAKEN: "on the way to Takaro",
    RetryOutcome.DEAD_AGAIN: "could not be repaired this time either",
    RetryOutcome.NOT_POSSIBLE: "cannot be retried",
    RetryOutcome.FULL: "kept: too many events wait for Takaro, try again later",
}
"""They stand behind an id, or behind a number."""
