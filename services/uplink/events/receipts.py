"""Which events has Takaro taken? Pure bookkeeping of windows and receipts (protocol.md T7).

Takaro acknowledges no event. It answers our JSON ping in the handler that takes events, in order; one such
pong can overtake the error of an event sent before it, the second of two pings sent one after the other never
did. So events are written with a ping behind them, a window, and Takaro has them when the pong of the ping
after it has come, sent when the first pong was there.

Two pongs can be quick where Takaro is near. Its error takes what it takes: what Takaro has is acknowledged
PROVEN_AFTER_S after its first pong, if no internal error came until then.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from services.relay.protocol.records import GameEvent
from services.uplink.events.progress import StreamEvent

WINDOW_EVENTS = 32
"""So many events at most are written in one go: between two looks at the lease."""

MAX_REPEATED = 64
"""Maximum number of events that are written and not yet acknowledged: those that a fault repeats
(ARCHITECTURE.md P1)."""

PROVEN_AFTER_S = 0.1


@dataclass(frozen=True, slots=True)
class Window:
    """Events with one ping behind them, and those that were too old to be written; `accepted_s` is when the
    oldest of `events` was accepted, on boottime_s()."""

    events: tuple[GameEvent, ...]
    expired: tuple[GameEvent, ...] = ()
    accepted_s: float = 0.0

    @property
    def counts(self) -> int:
        return len(self.events) + len(self.expired)


class RefusedEvent(NamedTuple):
    """Why Takaro will never take one of the events that were under way: it does not say which."""

    reason: str
    candidates: tuple[GameEvent, ...]


class TakenWindow(NamedTuple):
    """A window that Takaro has, and what was refused since the one before it was taken."""

    window: Window
    refused: tuple[RefusedEvent, ...]


class _Once(NamedTuple):
    """Events whose first pong came at `ponged_s`."""

    events: list[StreamEvent]
    ponged_s: float


class Receipts:
    """The events under way on one socket. Times are seconds by a clock that never jumps."""

    def __init__(self) -> None:
        self._written: list[StreamEvent] = []  # no ping is behind them yet
        self._pinged: list[StreamEvent] | None = None  # before the ping that is on its way
        self._once: _Once | None = None  # one pong has come since
        self._taken: deque[_Once] = deque()  # two have
        self._refused: list[RefusedEvent] = []
        self.unproven = 0
        """How many events are written and may not be acknowledged yet."""
        self.disowned = 0
        """Events that met a Takaro that has lost our server: they are to be sent again."""

    @property
    def ping_under_way(self) -> bool:
        """The next ping is sent when the pong of this one has come."""
        return self._pinged is not None

    @property
    def unpinged(self) -> bool:
        """Is there an event that no ping is behind yet?"""
        return bool(self._written)

    @property
    def proven_s(self) -> float:
        """When the next events may be acknowledged; infinite: none are to be."""
        return self._taken[0].ponged_s + PROVEN_AFTER_S if self._taken and not self.disowned else float("inf")

    @property
    def ponged_s(self) -> float | None:
        """When the first of two pongs came; None: no events wait for their second one."""
        return self._once.ponged_s if self._once else None

    @property
    def heard_s(self) -> float:
        """When all errors of what was lost are heard; infinite: nothing was lost, or no pongs yet."""
        if not self.disowned or self.ping_under_way or self._written or self._once:
            return float("inf")
        return self._taken[-1].ponged_s + PROVEN_AFTER_S if self._taken else 0.0

    def written(self, events: Sequence[StreamEvent]) -> None:
        """Events were written."""
        self._written += events
        self.unproven += len(events)

    def pinged(self) -> None:
        """A ping was written."""
        self._pinged, self._written = self._written, []

    def refused(self, reason: str) -> None:
        """One event under way was refused for what it is. Sending it again would change nothing, and would
        double its neighbours."""
        under_way = [taken.events for taken in self._taken]
        under_way += [self._once.events if self._once else [], self._pinged or [], self._written]
        self._refused.append(
            RefusedEvent(reason, tuple(event.event for events in under_way for event in events))
        )

    def lost(self) -> None:
        """One event under way met a Takaro that does not have our server."""
        self.disowned += 1

    def ponged(self, now_s: float) -> TakenWindow | None:
        """The pong of the last ping came: Takaro has what was written before the ping before it.

        None when that was nothing, or when events have to be sent again first.
        """
        twice, self._once = self._once, _Once(self._pinged, now_s) if self._pinged else None
        self._pinged = None
        if not twice:
            return None
        self._taken.append(twice)
        if self.disowned:
            return None
        refused, self._refused = tuple(self._refused), []
        return TakenWindow(_window(twice.events), refused)

    def proven(self, now_s: float) -> list[StreamEvent]:
        """Those that may be acknowledged now."""
        found: list[StreamEvent] = []
        while self.proven_s <= now_s:
            found += self._taken.popleft().events
        self.unproven -= len(found)
        return found


def _window(events: list[StreamEvent]) -> Window:
    return Window(
        tuple([event.event for event in events]),
        accepted_s=min([event.batch.accepted_s for event in events]),
    )
