"""Takes the events of one instance from the body of a POST to the stream. After a 200 they are in Redis."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from services.modapi.dialect.bodies import bounded, read_batch
from services.modapi.dialect.dead import Reason, dead
from services.modapi.dialect.events import map_event
from services.modapi.dialect.roster import Roster
from services.modapi.http.rate_limits import LogLines
from services.modapi.metrics import ModapiMetrics
from services.relay.instances.facts import InstanceData
from services.relay.protocol.errors import StoreError
from services.relay.protocol.limits import DEFAULT_LIMITS, Limits
from services.relay.protocol.records import DeadEvent, GameEvent
from services.relay.protocol.vocabulary import EventType
from services.relay.service.faults import FaultKind
from services.relay.service.logs import InstanceLogger
from services.relay.store.event_stream import EventStream
from services.relay.store.repeats import digest
from services.relay.store.stream_entries import NOT_ASKED, Appended, EventBatch, PostedEvent

REREAD_ROSTER_EVERY_S = 5.0

READ_AT_ONCE_BYTES = 16 * 1024
"""Longer bodies are read in a thread: to read broken JSON of this size takes 20 ms, and others would wait."""

ALL_LOG_LINES = LogLines(True, None, 0.0)

_LIMITS: dict[str, str] = {
    Reason.TOO_MANY_EVENTS: "batch_events",
    Reason.EVENT_TOO_LARGE: "event_bytes",
    Reason.TOO_DEEP: "event_levels",
}
_PLAYER_NOT_KNOWN = (Reason.UNKNOWN_PLAYER, Reason.NO_PLATFORM_ID)


@dataclass(frozen=True, slots=True)
class TakenBatch:
    """The result of a POST. `token` is for `stream.notes.answered`; "": the stream is full. `dead` is the
    number of its new events that became dead letters."""

    token: str
    events: int
    dead: int = 0


class EventIntake:
    def __init__(
        self,
        stream: EventStream,
        data: InstanceData,
        roster: Roster,
        metrics: ModapiMetrics,
        log_lines: LogLines = ALL_LOG_LINES,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.stream = stream
        self._data = data
        self._roster = roster
        self._metrics = metrics
        self._log_lines = log_lines
        self._limits = limits
        self._logger = InstanceLogger(__name__, stream.slug)
        self._roster_read_s = -math.inf

    async def take(
        self,
        body: bytes,
        received_s: float,
        before_storing: Callable[[int, bool], Awaitable[None]] | None = None,
    ) -> TakenBatch:
        """Stores the events of a body whose first bytes arrived at `received_s` (on time.monotonic()).

        `before_storing` is called with their number, and whether the body had to be repaired. It raises if
        the mod has given up. Raises StoreError: then nothing is stored, or it is not known whether anything
        is.
        """
        try:
            posted, repaired = await self._mapped(body)
        except StoreError:
            raise
        except Exception as error:  # a mod would repeat the body for ever, so it becomes a dead letter
            letter = self._faulty(error, body)
            posted, repaired = [PostedEvent(digest(letter.raw), letter)], True
        players, new = self._roster.take_changes(), posted[:0]
        try:
            if before_storing:
                await before_storing(len(posted), repaired)
            if not posted:
                return TakenBatch(NOT_ASKED, 0)
            posted, appended = await self._append(posted, players, received_s)
            new = [] if appended.full else posted[appended.repeated :]
        finally:  # if the mod has hung up, it sends the same again
            if players and not new:  # players are stored along with new events only
                self._roster.give_back(players)
            if len(new) < len(posted):
                not_new = posted[: len(posted) - len(new)]
                self._log_lines.give_back(sum(_is_log_line(event.became) for event in not_new))
        dead_letters = self._count(new, 0 if appended.full else appended.repeated)
        return TakenBatch(appended.token, len(posted), dead_letters)

    async def _mapped(self, body: bytes) -> tuple[list[PostedEvent], bool]:
        """The events in the form for Takaro, and whether the body had to be repaired. Raises StoreError."""
        if self._roster_read_s == -math.inf:
            await self._read_roster()
        if len(body) <= READ_AT_ONCE_BYTES:
            read = read_batch(body, self._limits.batch_events)
        else:
            read = await asyncio.to_thread(read_batch, body, self._limits.batch_events)
        received = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        posted: list[PostedEvent] = []
        for raw in read.events:
            if isinstance(raw, DeadEvent):
                posted.append(PostedEvent(digest(raw.raw), raw))
                continue
            written = b""
            became: GameEvent | DeadEvent
            try:
                written = orjson.dumps(raw)
                fit = bounded(raw, written, self._limits)
                if isinstance(fit, DeadEvent):
                    became = fit
                else:
                    if fit is not raw and fit != raw:
                        self._metrics.beyond("text_chars")
                    became = map_event(fit, self._roster, received)
                    is_unknown = type(became) is DeadEvent and became.reason in _PLAYER_NOT_KNOWN
                    if is_unknown and time.monotonic() - self._roster_read_s > REREAD_ROSTER_EVERY_S:
                        await self._read_roster()  # another modapi may have seen this player connect
                        became = map_event(fit, self._roster, received)
            except StoreError:
                raise
            except Exception as error:
                became = self._faulty(error, raw)
            posted.append(PostedEvent(digest(written), became))
        if not self._log_lines.all:
            posted = self._without_log_lines(posted)
        return posted, read.repaired

    async def _append(
        self, posted: list[PostedEvent], seen: dict[str, bytes], received_s: float
    ) -> tuple[list[PostedEvent], Appended]:
        """Appends the events. Those that cannot be serialized, by a fault of ours, become dead letters."""
        try:
            return posted, await self.stream.append(EventBatch(posted, seen), received_s)
        except StoreError:
            raise
        except Exception:  # raised before anything was sent
            written = [self._writable(event) for event in posted]
            if written == posted:
                raise
        return written, await self.stream.append(EventBatch(written, seen), received_s)

    def _writable(self, event: PostedEvent) -> PostedEvent:
        if isinstance(event.became, DeadEvent):
            return event
        try:
            orjson.dumps(event.became)
        except Exception as error:
            return event._replace(became=self._faulty(error, event.became))
        return event

    def _faulty(self, error: Exception, raw: Any) -> DeadEvent:
        """The dead letter of an event on which our own code failed. The other events go on."""
        self._metrics.service.faults.caught(self._logger, FaultKind.REQUEST, error)
        return dead(Reason.RELAY_FAULT, f"the relay failed on it ({type(error).__name__}), see its log", raw)

    def _without_log_lines(self, posted: list[PostedEvent]) -> list[PostedEvent]:
        now_s = time.monotonic()
        kept: list[PostedEvent] = []
        for event in reversed(posted):  # the first ones may be repeats, which use up none of the limit
            is_out = _is_log_line(event.became) and not self._log_lines.admit(now_s)
            kept.append(event._replace(became=None) if is_out else event)
        return kept[::-1]

    async def _read_roster(self) -> None:
        stored = await self._data.players()
        # A fault in it must not stop every batch.
        with self._metrics.service.faults.contain(self._logger, FaultKind.REQUEST):
            self._roster.restore(stored)
        self._roster_read_s = time.monotonic()

    def _count(self, posted: list[PostedEvent], repeated: int) -> int:
        """Counts the events by their form. Returns the number of dead letters."""
        counts: dict[str, int] = {}
        dead_letters = 0
        for event in posted:
            became = event.became
            if became is None:
                self._metrics.log_dropped.labels("rate" if self._log_lines.on else "off").inc()
            elif isinstance(became, DeadEvent):
                dead_letters += 1
                self._metrics.dead.labels(became.reason).inc()
                if limit := _LIMITS.get(became.reason):
                    self._metrics.beyond(limit)
            else:
                counts[became["type"]] = counts.get(became["type"], 0) + 1
        for event_type, count in counts.items():
            self._metrics.accepted[event_type].inc(count)
        if repeated:
            self._metrics.repeated.inc(repeated)
        return dead_letters


def _is_log_line(became: GameEvent | DeadEvent | None) -> bool:
    return type(became) is dict and became["type"] == EventType.LOG.value
