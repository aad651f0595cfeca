"""The reasons why a request has no result: the text for Takaro and the label of the metric.

A person who gave an item must be able to tell "it did not happen" from "it may have" (ARCHITECTURE.md P2).
"""

from dataclasses import dataclass

from services.relay.protocol.command_states import MAY_HAVE_RUN, NOT_DELIVERED
from services.relay.protocol.ends import CommandEnd
from services.relay.protocol.records import Outcome
from services.relay.protocol.vocabulary import HAND_OUT_WITHIN_S

NEVER_CONTACTED = (
    "no mod has ever contacted the relay for this server; check TakaroApiUrl in the mod's config.json"
)


@dataclass(frozen=True, slots=True)
class CommandFailure(Outcome):
    """The end of a request without a result, for a reason that the relay knows."""

    cause: CommandEnd = CommandEnd.FAULT

    @property
    def end(self) -> CommandEnd:
        return self.cause


def _failure(cause: CommandEnd, error: str) -> CommandFailure:
    return CommandFailure(None, error, cause)


NO_RESULT = _failure(CommandEnd.NO_RESULT, MAY_HAVE_RUN)  # the mod fetched the command and posted no result

NO_ANSWER = _failure(CommandEnd.NO_RESULT, "the game server has not answered in time")
"""The request of a read waited no longer. The mod may not have fetched it yet; it changes nothing."""

QUEUE_FULL = _failure(CommandEnd.QUEUE_FULL, f"{NOT_DELIVERED}: too many commands wait for this server")
"""This command was not queued."""

STOOD_STILL = _failure(CommandEnd.NOT_DELIVERED, f"{NOT_DELIVERED}: the relay stood still, ask again")
"""This process was suspended for so long that Takaro has given the request up, or is about to."""

RELAY_STOPS = _failure(
    CommandEnd.NOT_DELIVERED, f"{NOT_DELIVERED}: the relay stops, or stops serving this server"
)
"""No poll can fetch the command before this uplink stops, or stops serving the instance."""

CUT_SHORT = _failure(CommandEnd.NO_RESULT, "the relay ends before it knows the result: it may have run")
"""This uplink ends before it knows the state of the command."""

FAULT = _failure(CommandEnd.FAULT, "the relay failed by a fault of its own: it may have run")
"""Our own code raised an unexpected exception."""

STORE_AWAY = _failure(CommandEnd.STORE_AWAY, "the relay's store is away: the command may not be delivered")
"""Redis did not answer. Nobody knows whether the command is queued (errors.StoreError)."""


def not_delivered(silent_s: float | None) -> CommandFailure:
    """The mod never fetched the command. `silent_s`: since its last poll; None: it never polled."""
    if silent_s is None:
        return _failure(CommandEnd.NEVER_SEEN, f"{NOT_DELIVERED}: {NEVER_CONTACTED}")
    if silent_s < HAND_OUT_WITHIN_S:
        return _failure(CommandEnd.NOT_DELIVERED, f"{NOT_DELIVERED}: the server did not fetch it in time")
    return _failure(
        CommandEnd.NOT_DELIVERED, f"{NOT_DELIVERED}: the server has not polled for {silent_s:.0f} s"
    )


def store_refused(why: str) -> CommandFailure:
    """Redis did not queue the command: it is full, is loading its data, or cannot be reached."""
    return _failure(CommandEnd.STORE_REFUSED, f"{NOT_DELIVERED}: {why}")
