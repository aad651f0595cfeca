"""The words for a request that came to nothing: what Takaro is told, and what the metric counts.

A person who gave an item must be able to tell "it did not happen" from "it may have" (ARCHITECTURE.md P2).
"""

from dataclasses import dataclass
from enum import StrEnum, unique

from services.relay.protocol.command_states import MAY_HAVE_RUN, NOT_DELIVERED
from services.relay.protocol.vocabulary import HAND_OUT_WITHIN_S

NEVER_CONTACTED = (
    "no mod has ever contacted the relay for this server; check TakaroApiUrl in the mod's config.json"
)


@unique
class Cause(StrEnum):
    """Why there is no result. A label of a metric: the set is fixed."""

    NOT_DELIVERED = "not_delivered"
    NO_RESULT = "no_result"
    REFUSED = "refused"  # in the mod's own words
    QUEUE_FULL = "queue_full"
    NEVER_SEEN = "never_seen"
    STORE_AWAY = "store_away"
    STORE_REFUSED = "store_refused"
    FAULT = "fault"  # of ours


@dataclass(frozen=True, slots=True)
class CommandFailure:
    """One request that came to nothing; `text` is what Takaro shows."""

    cause: Cause
    text: str


def not_delivered(silent_s: float | None) -> CommandFailure:
    """The mod never fetched it: it did not happen. `silent_s` since the last poll, None: no poll ever."""
    if silent_s is None:
        return CommandFailure(Cause.NEVER_SEEN, f"{NOT_DELIVERED}: {NEVER_CONTACTED}")
    if silent_s < HAND_OUT_WITHIN_S:
        return CommandFailure(Cause.NOT_DELIVERED, f"{NOT_DELIVERED}: the server did not fetch it in time")
    return CommandFailure(
        Cause.NOT_DELIVERED, f"{NOT_DELIVERED}: the server has not polled for {silent_s:.0f} s"
    )


def no_result() -> CommandFailure:
    """The mod fetched it and said no more."""
    return CommandFailure(Cause.NO_RESULT, MAY_HAVE_RUN)


def queue_full() -> CommandFailure:
    """Too much waits for this server already; the request was not added."""
    return CommandFailure(Cause.QUEUE_FULL, f"{NOT_DELIVERED}: too many commands wait for this server")


def stood_still() -> CommandFailure:
    """This process did nothing for so long that Takaro has given the request up, or is about to."""
    return CommandFailure(Cause.NOT_DELIVERED, f"{NOT_DELIVERED}: the relay stood still, ask again")


def relay_stops() -> CommandFailure:
    """No poll can fetch it before this uplink stops, or stops serving the instance."""
    return CommandFailure(
        Cause.NOT_DELIVERED, f"{NOT_DELIVERED}: the relay stops, or stops serving this server"
    )


def cut_short() -> CommandFailure:
    """This uplink ends before it knows how far the command came."""
    return CommandFailure(Cause.NO_RESULT, "the relay ends before it knows the result: it may have run")


def fault() -> CommandFailure:
    """An exception of ours that nobody has foreseen."""
    return CommandFailure(Cause.FAULT, "the relay failed by a fault of its own: it may have run")


def store_away() -> CommandFailure:
    """Redis did not answer. Whether the command reached it is not known (errors.StoreError)."""
    return CommandFailure(Cause.STORE_AWAY, "the relay's store is away: the command may not be delivered")


def store_refused(why: str) -> CommandFailure:
    """Redis never took it, and said why: it is full, or reads its data, or nobody answers there."""
    return CommandFailure(Cause.STORE_REFUSED, f"{NOT_DELIVERED}: {why}")
