"""The calls about dead letters: list, show, try again, drop."""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum, unique
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from services.modapi.admin.problems import ApiError, ErrorCode
from services.modapi.admin.repeats import OnceRoute
from services.modapi.admin.views import utc
from services.modapi.dead_letter_retry import RetryResult, retry_each, retry_one, why_no_retry
from services.modapi.events import EventIntake
from services.modapi.fleet.view import FleetView
from services.relay.instances.dead_letters import DeadLetter, DeadLetters
from services.relay.store.client import Store
from services.relay.store.event_stream import MAX_DEAD_EVENTS

_ID = r"^[0-9]{1,15}-[0-9]{1,10}$"
DeadLetterId = Annotated[str, Path(pattern=_ID, examples=["1796020893123-0"])]


class DeadLetterInfo(BaseModel):
    """An event that cannot be delivered. Players may have written the text in it."""

    id: str
    at: datetime
    reason: str
    detail: str
    raw: str = Field(description="what the mod sent, shortened")
    no_retry: str | None = Field(description="why it cannot be tried again; null: it can")


class DeadLetterList(BaseModel):
    """Dead letters, the newest first."""

    dead_letters: list[DeadLetterInfo]
    next_cursor: str | None = Field(description="`before` of the next page; null: there is none")


@unique
class RetryOutcome(StrEnum):
    """What came of a second try."""

    TAKEN = "taken"  # it is on its way to Takaro, and no dead letter any more
    DEAD_AGAIN = "dead_again"  # it became a new dead letter
    NOT_POSSIBLE = "not_possible"  # it stays: Takaro refused it, or not all of it was kept
    FULL = "full"  # it stays: too many events wait for Takaro


class RetriedDeadLetter(BaseModel):
    """What came of the second try of a dead letter."""

    outcome: RetryOutcome
    text: str = Field(description="the same in words", examples=[RetryResult.TAKEN.value])


class RetriedDeadLetters(BaseModel):
    """What came of the second try of all dead letters: a number for each outcome."""

    counts: dict[RetryOutcome, int]


class DroppedDeadLetters(BaseModel):
    """How many dead letters were deleted."""

    dropped: int


class DeadLetterCalls:
    """The calls. Each raises NoSuchInstance and StoreError. `take_in` makes the intake of a server."""

    def __init__(self, fleet: FleetView, store: Store, take_in: Callable[[str], EventIntake]) -> None:
        self._fleet = fleet
        self._store = store
        self._take_in = take_in

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/servers/{slug}/dead-letters", tags=["dead letters"])
        add = router.add_api_route
        add("", self.list_dead_letters)
        add("", self.drop_all_dead_letters, methods=["DELETE"])
        add("/retry", self.retry_all_dead_letters, methods=["POST"], route_class_override=OnceRoute)
        add("/{id}/retry", self.retry_dead_letter, methods=["POST"], route_class_override=OnceRoute)
        add("/{id}", self.get_dead_letter)
        add("/{id}", self.drop_dead_letter, methods=["DELETE"], status_code=204)
        return router

    async def list_dead_letters(
        self,
        slug: str,
        limit: Annotated[int, Query(ge=1, le=MAX_DEAD_EVENTS)] = 50,
        before: Annotated[
            str | None, Query(pattern=_ID, description="`next_cursor` of the page before")
        ] = None,
    ) -> DeadLetterList:
        """List the events that cannot be delivered."""
        await self._fleet.row(slug)
        found = await DeadLetters(self._store, slug).newest(limit + 1, before or "")
        return DeadLetterList(
            dead_letters=[_info(letter) for letter in found[:limit]],
            next_cursor=found[limit - 1].id if len(found) > limit else None,
        )

    async def get_dead_letter(self, slug: str, id: DeadLetterId) -> DeadLetterInfo:
        """Show one dead letter."""
        await self._fleet.row(slug)
        letter = await DeadLetters(self._store, slug).get(id)
        if letter is None:
            raise _not_found(id)
        return _info(letter)

    async def retry_dead_letter(self, slug: str, id: DeadLetterId) -> RetriedDeadLetter:
        """Try a dead letter again, as after an update of the relay. A repeat of the call is safe."""
        await self._fleet.row(slug)
        result = await retry_one(DeadLetters(self._store, slug), self._take_in(slug), id)
        if result is RetryResult.GONE:
            raise _not_found(id)
        return RetriedDeadLetter(outcome=RetryOutcome[result.name], text=result.value)

    async def retry_all_dead_letters(self, slug: str) -> RetriedDeadLetters:
        """Try all dead letters again that there are now, in the order in which they came."""
        await self._fleet.row(slug)
        letters = DeadLetters(self._store, slug)
        results = await retry_each(letters, self._take_in(slug), await letters.all_ids())
        del results[RetryResult.GONE]
        return RetriedDeadLetters(counts={RetryOutcome[one.name]: count for one, count in results.items()})

    async def drop_dead_letter(self, slug: str, id: DeadLetterId) -> None:
        """Delete a dead letter."""
        await self._fleet.row(slug)
        if not await DeadLetters(self._store, slug).drop(id):
            raise _not_found(id)

    async def drop_all_dead_letters(self, slug: str) -> DroppedDeadLetters:
        """Delete all dead letters that there are now."""
        await self._fleet.row(slug)
        letters = DeadLetters(self._store, slug)
        return DroppedDeadLetters(dropped=await letters.drop(*await letters.all_ids()))


def _info(letter: DeadLetter) -> DeadLetterInfo:
    return DeadLetterInfo(
        id=letter.id,
        at=utc(letter.at_ms),
        reason=letter.reason,
        detail=letter.detail,
        raw=letter.raw.decode(errors="replace"),
        no_retry=why_no_retry(letter) or None,
    )


def _not_found(id: str) -> ApiError:
    return ApiError(ErrorCode.DEAD_LETTER_NOT_FOUND, f"there is no dead letter {id}")
