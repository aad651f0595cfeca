"""The calls about dead letters: list, show, try again, drop.

A dead letter that is tried again is repaired and mapped as a new event, and appended as a batch of its own.
"""

import time
from collections import Counter
from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, BeforeValidator, Field

from services.modapi.admin.context import AdminContext, Context, Row
from services.modapi.admin.models import Moment, Shown
from services.modapi.admin.problems import ApiError, ErrorCode
from services.modapi.admin.repeats import OnceRoute
from services.modapi.dialect.roster import Roster
from services.modapi.events import EventIntake
from services.relay.instances.dead_letters import DeadLetters
from services.relay.instances.facts import InstanceData
from services.relay.protocol.ends import RETRY_WORDS, RetryOutcome
from services.relay.protocol.records import DEAD_LETTER_ID
from services.relay.store.event_stream import MAX_DEAD_EVENTS, EventStream

RETRY = "repeat"
"""The sender of retried dead letters: not the mod, so that they are no repeats of its batches."""

_ID = f"^{DEAD_LETTER_ID.pattern}$"
DeadLetterId = Annotated[str, Path(pattern=_ID, examples=["1796020893123-0"])]


class DeadLetterInfo(Shown):
    """An event that cannot be delivered. Players may have written the text in it."""

    id: str
    at: Moment = Field(validation_alias="at_ms")
    reason: str
    detail: str
    raw: Annotated[str, BeforeValidator(lambda raw: raw.decode(errors="replace"))] = Field(
        description="what the mod sent, shortened"
    )
    no_retry: str | None = Field(description="why it cannot be tried again; null: it can")


class DeadLetterList(BaseModel):
    """Dead letters, the newest first."""

    dead_letters: list[DeadLetterInfo]
    next_cursor: str | None = Field(description="`before` of the next page; null: there is none")


class RetriedDeadLetter(BaseModel):
    """The outcome of the second try of a dead letter."""

    outcome: RetryOutcome
    text: str = Field(description="the same in words", examples=[RETRY_WORDS[RetryOutcome.TAKEN]])


class RetriedDeadLetters(BaseModel):
    """The second try of all dead letters: the number of each outcome."""

    counts: dict[RetryOutcome, int]


class DroppedDeadLetters(BaseModel):
    """How many dead letters were deleted."""

    dropped: int


async def _letters(row: Row, context: Context) -> DeadLetters:
    return DeadLetters(context.store, row.slug)


Letters = Annotated[DeadLetters, Depends(_letters)]
"""Those of the server in the path. Calls with an id name `slug` too, so that it is described first."""

router = APIRouter(prefix="/servers/{slug}/dead-letters", tags=["dead letters"], route_class=OnceRoute)


@router.get("")
async def list_dead_letters(
    letters: Letters,
    limit: Annotated[int, Query(ge=1, le=MAX_DEAD_EVENTS)] = 50,
    before: Annotated[str | None, Query(pattern=_ID, description="`next_cursor` of the page before")] = None,
) -> DeadLetterList:
    """List the events that cannot be delivered."""
    found = await letters.newest(limit + 1, before or "")
    return DeadLetterList(
        dead_letters=list(map(DeadLetterInfo.model_validate, found[:limit])),
        next_cursor=found[limit - 1].id if len(found) > limit else None,
    )


@router.delete("")
async def drop_all_dead_letters(letters: Letters) -> DroppedDeadLetters:
    """Delete all dead letters that there are now."""
    return DroppedDeadLetters(dropped=await letters.drop(*await letters.all_ids()))


@router.post("/retry")
async def retry_all_dead_letters(letters: Letters, row: Row, context: Context) -> RetriedDeadLetters:
    """Try all dead letters again that there are now, in the order in which they came."""
    outcomes = await retry(context, row.slug, await letters.all_ids())
    return RetriedDeadLetters(counts={one: count for one, count in outcomes.items() if one})


@router.post("/{id}/retry")
async def retry_dead_letter(slug: str, id: DeadLetterId, row: Row, context: Context) -> RetriedDeadLetter:
    """Try a dead letter again, as after an update of the relay. A repeat of the call is safe."""
    (outcome,) = await retry(context, slug, [id])
    if outcome is None:
        raise _not_found(id)
    return RetriedDeadLetter(outcome=outcome, text=RETRY_WORDS[outcome])


@router.get("/{id}")
async def get_dead_letter(slug: str, id: DeadLetterId, letters: Letters) -> DeadLetterInfo:
    """Show one dead letter."""
    letter = await letters.get(id)
    if letter is None:
        raise _not_found(id)
    return DeadLetterInfo.model_validate(letter)


@router.delete("/{id}", status_code=204)
async def drop_dead_letter(slug: str, id: DeadLetterId, letters: Letters) -> None:
    """Delete a dead letter."""
    if not await letters.drop(id):
        raise _not_found(id)


async def retry(context: AdminContext, slug: str, ids: Iterable[str]) -> Counter[RetryOutcome | None]:
    """Retries dead letters, one after the other. None counts those that were gone already.

    Two calls at once count as one. Raises StoreError.
    """
    letters, data = DeadLetters(context.store, slug), InstanceData(context.store, slug)
    stream = EventStream(context.store, slug, RETRY)
    intake = EventIntake(stream, data, Roster(), context.metrics, limits=context.settings.limits)
    return Counter([await _retry_one(letters, intake, id) for id in ids])


async def _retry_one(letters: DeadLetters, intake: EventIntake, id: str) -> RetryOutcome | None:
    letter = await letters.get(id)
    if letter is None:
        return None
    if letter.no_retry:
        return RetryOutcome.NOT_POSSIBLE
    taken = await intake.take(letter.raw, time.monotonic())
    if not taken.token:
        return RetryOutcome.FULL
    if not taken.events:
        return RetryOutcome.NOT_POSSIBLE
    await letters.drop(id)
    intake.stream.notes.answered(taken.token)  # not before: until it is deleted, a second call is a repeat
    await intake.stream.notes.write()  # a note that waits could overwrite that of a later retry
    return RetryOutcome.DEAD_AGAIN if taken.dead else RetryOutcome.TAKEN


def _not_found(id: str) -> ApiError:
    return ApiError(ErrorCode.DEAD_LETTER_NOT_FOUND, f"there is no dead letter {id}")
