"""Retries dead letters: repairs and maps them as new events, and appends each as a batch of its own."""

import time
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum, unique

from services.modapi.dialect.dead import RAW_BYTES
from services.modapi.dialect.roster import Roster
from services.modapi.events import EventIntake
from services.modapi.metrics import ModapiMetrics
from services.relay.instances.dead_letters import DeadLetter, DeadLetters
from services.relay.instances.state import InstanceState
from services.relay.protocol.limits import Limits
from services.relay.store.client import Store
from services.relay.store.event_stream import REFUSED_BY_TAKARO, EventStream

RETRY = "repeat"
"""The sender of retried dead letters: not the mod, so that they are no repeats of its batches."""


@unique
class RetryResult(StrEnum):
    """The result of a retry, for a person."""

    TAKEN = "it is on its way to Takaro"
    DEAD_AGAIN = "it could not be repaired this time either"
    GONE = "it was gone already"
    NOT_POSSIBLE = "it cannot be retried"
    FULL = "too many events wait for Takaro, try again later"


def why_no_retry(letter: DeadLetter) -> str:
    """Why a dead letter cannot be retried, or ""."""
    if letter.reason == REFUSED_BY_TAKARO:
        return "Takaro does not say which of these events it refused, and has the others"
    if not letter.raw:
        return "nothing of it was kept"
    if len(letter.raw) >= RAW_BYTES:
        return f"only its first {RAW_BYTES} bytes were kept"
    return ""


def intake_of(store: Store, slug: str, metrics: ModapiMetrics, limits: Limits) -> EventIntake:
    """The intake for retried dead letters of an instance."""
    return EventIntake(
        EventStream(store, slug, RETRY), InstanceState(store, slug), Roster(), metrics, limits=limits
    )


async def retry_each(letters: DeadLetters, intake: EventIntake, ids: Iterable[str]) -> Counter[RetryResult]:
    """Retries several, one after the other. Raises StoreError."""
    return Counter([await retry_one(letters, intake, id) for id in ids])


async def retry_one(letters: DeadLetters, intake: EventIntake, id: str) -> RetryResult:
    """Retries one dead letter, and deletes it. `intake` is that of `intake_of`.

    Two calls at once count as one. Raises StoreError.
    """
    letter = await letters.get(id)
    if letter is None:
        return RetryResult.GONE
    if why_no_retry(letter):
        return RetryResult.NOT_POSSIBLE
    taken = await intake.take(letter.raw, time.monotonic())
    if not taken.token:
        return RetryResult.FULL
    if not taken.events:
        return RetryResult.NOT_POSSIBLE
    await letters.drop(id)
    intake.stream.notes.answered(taken.token)  # not before: until it is deleted, a second call is a repeat
    await intake.stream.notes.write()  # a note that waits could overwrite that of a later retry
    return RetryResult.DEAD_AGAIN if taken.dead else RetryResult.TAKEN
