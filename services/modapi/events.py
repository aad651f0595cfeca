"""Events of one instance: from the body of a POST to the stream. A 200 means that they are in Redis."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from services.modapi.dialect.bounds import bounded
from services.modapi.dialect.dead import Reason, dead
from services.modapi.dialect.events import map_event
from services.modapi.dialect.mend import ReadBatch as ReadBatch
from services.modapi.dialect.mend import read_batch
from services.modapi.dialect.roster import Roster
from services.modapi.http.rate_limits import LogLines
from services.modapi.metrics import ModapiMetrics
from services.relay.instances.state import InstanceState
from services.relay.protocol.errors import StoreError
from services.relay.protocol.limits import DEFAULT_LIMITS, Limits
from services.relay.protocol.records import DeadEvent, GameEvent
from services.relay.protocol.vocabulary import EventType
from services.relay.service.faults import FaultKind
from services.relay.service.logs import InstanceLogger
from services.relay.store.event_stream import NOT_ASKED, Appended, EventBatch, EventStream, Slot, digest

logger = logging.getLogger(__name__)

REREAD_ROSTER_EVERY_S = 5.0

READ_AT_ONCE_BYTES = 16 * 1024
"""What is longer is read beside the loop: broken JSON of this size takes 20 ms, and others wait."""

ALL_LOG_LINES = LogLines(True, None, 0.0)

_LIMITS: dict[str, str] = {
    Reason.TOO_MANY_EVENTS: "batch_events",
    Reason.EVENT_TOO_LARGE: "event_bytes",
    Reason.TOO_DEEP: "event_levels",
}


async def _waits() -> None:
    """Whoever sent it is there."""


@dataclass(frozen=True, slots=True)
class TakenBatch:
    """What became of a POST. `token` is to be given to `answered` once the mod has its answer; "": full.

    `dead` of its new events cannot become valid.
    """

    token: str
    events: int
    mended: bool = False
    dead: int = 0


class EventIntake:
    """Takes the events of one instance."""

    def __init__(
        self,
        stream: EventStream,
        state: InstanceState,
        roster: Roster,
        metrics: ModapiMetrics,
        log_lines: LogLines = ALL_LOG_LINES,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._stream = stream
        self._state = state
        self._roster = roster
        self._metrics = metrics
        self._log_lines = log_lines
        self._limits = limits
        self._logger = InstanceLogger(logger, stream.slug)
        self._roster_read_s: float | None = None

    async def take(
        self, body: bytes, received_s: float, still_waits: Callable[[], Awaitable[None]] = _waits
    ) -> TakenBatch:
        """Stores the events of a body that began to come at `received_s` (on time.monotonic()).

        `still_waits` is called right before, and stops it by raising when the mod has given up. Raises
        StoreError: then nothing is stored, or it is not known.
        """
        slots, mended = await self._slots(body)
        if not slots:
            return TakenBatch(NOT_ASKED, 0)
        try:
            await still_waits()
            with self._roster.saving() as seen:
                slots, appended = await self._append(slots, seen.records, received_s)
                new = [] if appended.full else slots[appended.repeated :]
                seen.saved = bool(new)  # players are stored along with new events only
        except BaseException:  # also when the mod has hung up: it sends the same again
            self._log_lines.give_back(_log_lines(slots))
            raise
        if len(new) < len(slots):
            self._log_lines.give_back(_log_lines(slots[: len(slots) - len(new)]))
        lost = self._count(new, 0 if appended.full else appended.repeated)
        return TakenBatch(appended.token, len(slots), mended, lost)

    def answered(self, token: str) -> None:
        """The mod has its answer: what it sends next is new."""
        self._stream.answered(token)

    def unanswered(self, token: str) -> None:
        """The mod had hung up before its answer: it sends those events again."""
        self._stream.unanswered(token)

    async def _slots(self, body: bytes) -> tuple[list[Slot], bool]:
        """What is made of each event, and whether the body had to be mended. Raises StoreError.

        A mod repeats what it has no 2xx for, so a fault of ours is not its answer: the body is put aside.
        """
        try:
            return await self._mapped(body)
        except StoreError:
            raise
        except Exception as error:
            letter = self._faulty(error, body)
            return [Slot(digest(letter.raw), letter)], True

    async def _mapped(self, body: bytes) -> tuple[list[Slot], bool]:
        if self._roster_read_s is None:
            await self._read_roster()
        read = await self._read(body)
        data, fit = self._bounded(read.events)
        received = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fates = self._map(fit, received)
        if any(_knew_nobody(fate) for fate in fates) and self._roster_is_old():
            # Another modapi may have seen this player connect.
            await self._read_roster()
            fates = self._map(fit, received)
        kept = fates if self._log_lines.all else self._without_log_lines(fates)
        slots = [Slot(digest(raw), fate) for raw, fate in zip(data, kept, strict=True)]
        for place, letter in zip(read.places, read.unreadable, strict=True):
            slots.insert(place, Slot(digest(letter.raw), letter))
        return slots, read.repaired

    async def _append(
        self, slots: list[Slot], seen: dict[str, bytes], received_s: float
    ) -> tuple[list[Slot], Appended]:
        """Appends them; those that cannot be written down, through a fault of ours, as dead letters."""
        try:
            return slots, await self._stream.append(EventBatch(slots, seen), received_s)
        except StoreError:
            raise
        except Exception:  # before anything was sent
            written = [self._writable(slot) for slot in slots]
            if written == slots:
                raise
        return written, await self._stream.append(EventBatch(written, seen), received_s)

    def _writable(self, slot: Slot) -> Slot:
        if isinstance(slot.became, DeadEvent):
            return slot
        try:
            orjson.dumps(slot.became)
        except Exception as error:
            return slot._replace(became=self._faulty(error, slot.became))
        return slot

    def _faulty(self, error: Exception, raw: Any) -> DeadEvent:
        """Our own code failed on this: it is put aside, and its neighbours go on."""
        self._metrics.service.faults.caught(self._logger, FaultKind.REQUEST, error)
        return dead(Reason.RELAY_FAULT, f"the relay failed on it ({type(error).__name__}), see its log", raw)

    async def _read(self, body: bytes) -> ReadBatch:
        if len(body) <= READ_AT_ONCE_BYTES:
            return read_batch(body, self._limits.batch_events)
        return await asyncio.to_thread(read_batch, body, self._limits.batch_events)

    def _bounded(self, events: list[dict[str, Any]]) -> tuple[list[bytes], list[dict[str, Any] | DeadEvent]]:
        """Each event as JSON, and within its bounds or dead."""
        data: list[bytes] = []
        fit: list[dict[str, Any] | DeadEvent] = []
        for raw in events:
            written = b""
            try:
                written = orjson.dumps(raw)
                fit.append(bounded(raw, written, self._limits))
            except Exception as error:
                fit.append(self._faulty(error, raw))
            data.append(written)
            if fit[-1] is not raw and not isinstance(fit[-1], DeadEvent):
                self._metrics.beyond("text_chars")
        return data, fit

    def _map(self, events: list[dict[str, Any] | DeadEvent], received: str) -> list[GameEvent | DeadEvent]:
        fates: list[GameEvent | DeadEvent] = []
        for raw in events:
            try:
                fates.append(raw if isinstance(raw, DeadEvent) else map_event(raw, self._roster, received))
            except Exception as error:
                fates.append(self._faulty(error, raw))
        return fates

    def _without_log_lines(self, fates: list[GameEvent | DeadEvent]) -> list[GameEvent | DeadEvent | None]:
        now_s = time.monotonic()
        kept: list[GameEvent | DeadEvent | None] = []
        for fate in reversed(fates):  # those at the head may have been stored before, and count for nothing
            kept.append(None if _is_log_line(fate) and not self._log_lines.admit(now_s) else fate)
        return kept[::-1]

    async def _read_roster(self) -> None:
        stored = await self._state.players()
        with self._metrics.service.faults.kept(
            self._logger, FaultKind.REQUEST
        ):  # else each batch fails on it
            self._roster.restore(stored)
        self._roster_read_s = time.monotonic()

    def _roster_is_old(self) -> bool:
        return time.monotonic() - (self._roster_read_s or 0.0) > REREAD_ROSTER_EVERY_S

    def _count(self, slots: list[Slot], repeated: int) -> int:
        """Counts what became of the events; returns how many of them are dead."""
        counts: dict[str, int] = {}
        lost = 0
        for slot in slots:
            fate = slot.became
            if fate is None:
                self._metrics.log_line_dropped("rate" if self._log_lines.on else "off")
            elif isinstance(fate, DeadEvent):
                lost += 1
                self._metrics.dead.labels(fate.reason).inc()
                if limit := _LIMITS.get(fate.reason):
                    self._metrics.beyond(limit)
            else:
                counts[fate["type"]] = counts.get(fate["type"], 0) + 1
        for event_type, count in counts.items():
            self._metrics.accepted(event_type, count)
        if repeated:
            self._metrics.repeated.inc(repeated)
        return lost


def _is_log_line(fate: GameEvent | DeadEvent | None) -> bool:
    return type(fate) is dict and fate["type"] == EventType.LOG.value


def _log_lines(slots: list[Slot]) -> int:
    return sum(_is_log_line(slot.became) for slot in slots)


def _knew_nobody(fate: GameEvent | DeadEvent) -> bool:
    return isinstance(fate, DeadEvent) and fate.reason in (Reason.UNKNOWN_PLAYER, Reason.NO_PLATFORM_ID)
