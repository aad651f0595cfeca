"""Events of one instance: from the body of a POST to the stream. A 200 means that they are in Redis."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from services.modapi.dialect.dead import Reason
from services.modapi.dialect.events import map_event
from services.modapi.dialect.mend import read_batch
from services.modapi.dialect.roster import Roster
from services.modapi.metrics import Metrics
from services.relay.errors import StoreError
from services.relay.event_stream import Batch, EventStream, Slot, digest
from services.relay.instance_state import InstanceState
from services.relay.records import DeadEvent, GameEvent

REREAD_ROSTER_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a POST. `token` is to be given to `answered` once the mod has its answer; "": full."""

    token: str
    events: int


class Intake:
    """Takes the events of one instance."""

    def __init__(self, stream: EventStream, state: InstanceState, roster: Roster, metrics: Metrics) -> None:
        self._stream = stream
        self._state = state
        self._roster = roster
        self._metrics = metrics
        self._roster_read_s: float | None = None

    async def take(self, body: bytes) -> Taken:
        """Stores the events of a body. Raises StoreError: then nothing is, or it is not known."""
        if self._roster_read_s is None:
            await self._read_roster()
        read = read_batch(body)
        received = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fates = [map_event(raw, self._roster, received) for raw in read.events]
        if any(_knew_nobody(fate) for fate in fates) and self._roster_is_old():
            # Another modapi may have seen this player connect.
            await self._read_roster()
            fates = [map_event(raw, self._roster, received) for raw in read.events]

        slots = [Slot(digest(letter.raw), letter) for letter in read.unreadable]
        slots += [Slot(digest(raw), fate) for raw, fate in zip(read.events, fates, strict=True)]
        if not slots:
            return Taken("-", 0)
        seen = self._roster.take_changes()
        try:
            appended = await self._stream.append(Batch(slots, seen))
        except StoreError:
            self._roster.put_back(seen)
            raise
        if appended.full:
            self._roster.put_back(seen)
        else:
            self._count(slots[appended.repeated :], appended.repeated)
        return Taken(appended.token, len(slots))

    def answered(self, token: str) -> None:
        """The mod has its answer: what it sends next is new."""
        self._stream.answered(token)

    async def _read_roster(self) -> None:
        self._roster.restore(await self._state.players())
        self._roster_read_s = time.monotonic()

    def _roster_is_old(self) -> bool:
        return time.monotonic() - (self._roster_read_s or 0.0) > REREAD_ROSTER_EVERY_S

    def _count(self, slots: list[Slot], repeated: int) -> None:
        counts: dict[str, int] = {}
        for slot in slots:
            fate = slot.became
            if isinstance(fate, DeadEvent):
                self._metrics.dead.labels(fate.reason).inc()
            else:
                counts[fate["type"]] = counts.get(fate["type"], 0) + 1
        for event_type, count in counts.items():
            self._metrics.accepted(event_type, count)
        if repeated:
            self._metrics.repeated.inc(repeated)


def _knew_nobody(fate: GameEvent | DeadEvent) -> bool:
    return isinstance(fate, DeadEvent) and fate.reason == Reason.UNKNOWN_PLAYER
