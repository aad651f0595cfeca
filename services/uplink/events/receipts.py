"""Keeps track of the events that Takaro has received, by windows and receipts (protocol.md T7). Pure.

Takaro acknowledges no event. It answers our JSON ping in the handler that takes events, in order. One such
pong can overtake the error of an event that was sent before it. The second of two pings that are sent one
after the other never did. So events are written with a ping behind them: a window. Takaro has the window when
the pong of the next ping has come. That ping is sent after the first pong.

If Takaro is near, two pongs can be quicker than its error. So events are acknowledged PROVEN_AFTER_S after
their first pong, if no internal error has come until then.

The steps of an event: written, pinged (a ping is written behind it), ponged once, ponged twice (then Takaro
has it), proven (then it may be acknowledged), acknowledged in Redis. Until it is proven, it is unproven.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from services.relay.protocol.records import GameEvent
from services.uplink.events.progress import StreamEvent

WRITE_EVENTS = 32  # maximum number of events in one write: between two checks of the lease

MAX_REPEATED = 64  # maximum number of events that a fault repeats: written, and not acknowledged in Redis

PROVEN_AFTER_S = 0.1
NEVER = float("inf")
NOW = float("-inf")


class RefusedEvent(NamedTuple):
    """Why Takaro refused one of `candidates`. It does not say which one."""

    reason: str
    candidates: tuple[GameEvent, ...]


class EndedEvents(NamedTuple):
    """The events between two pings, which Takaro has, and what it has refused since it took those before.

    `took_s` is the time from the acceptance of the oldest of `delivered` to the first pong behind them. The
    second pong may come much later, so it is not measured.
    """

    delivered: tuple[GameEvent, ...]
    refused: tuple[RefusedEvent, ...] = ()
    expired: tuple[GameEvent, ...] = ()  # too old to be written
    took_s: float = 0.0


class Receipts:
    """The unacknowledged events of one socket. Times are seconds on a clock that is never set."""

    def __init__(self) -> None:
        self.unpinged: list[StreamEvent] = []  # events with no ping behind them
        self.pinged_s: float | None = None  # when the ping was written whose pong is to come; None: none is
        self.ponged_s: float | None = None  # when the first pong of the last events came; None: none wait
        self.proven_s = NEVER  # when the next events may be acknowledged; NEVER: there are none
        self.unproven = 0  # number of events that were written and must not be acknowledged yet
        self.disowned = 0  # events for which Takaro did not have our server: they must be sent again
        self._pinged: list[StreamEvent] = []  # before the ping that is under way
        self._ponged_once: list[StreamEvent] = []  # one pong has come, at ponged_s
        # Two have come. The events may be acknowledged from that time on, if nothing is lost until then.
        self._ponged_twice: deque[tuple[list[StreamEvent], float]] = deque()
        self._refused: list[RefusedEvent] = []

    @property
    def errors_complete_s(self) -> float:
        """When the errors of all lost events have come; NEVER: nothing was lost, or pongs are missing."""
        if not self.disowned or self.pinged_s is not None or self.unpinged or self._ponged_once:
            return NEVER
        return self._ponged_twice[-1][1] if self._ponged_twice else NOW

    def written(self, events: Sequence[StreamEvent]) -> None:
        """Events were written."""
        self.unpinged += events
        self.unproven += len(events)

    def pinged(self, now_s: float) -> None:
        """A ping was written."""
        self._pinged, self.unpinged = self.unpinged, []
        self.pinged_s = now_s

    def refused(self, reason: str) -> None:
        """Takaro refused the content of one unacknowledged event. To send the window again would not help: it
        would repeat the other events. If no event is unacknowledged, the error is about something else."""
        ponged_twice = (events for events, _ in self._ponged_twice)
        windows = *ponged_twice, self._ponged_once, self._pinged, self.unpinged
        candidates = tuple(event.event for events in windows for event in events)
        if candidates:
            self._refused.append(RefusedEvent(reason, candidates))

    def lost(self) -> None:
        """Takaro did not have our server when it received one of the events."""
        self.disowned += 1
        self.proven_s = NEVER

    def ponged(self, now_s: float) -> EndedEvents | None:
        """The pong of the last ping came: Takaro has what was written before the ping before it. None: that
        is nothing, or events must be sent again first."""
        taken, first_pong_s = self._ponged_once, self.ponged_s
        self._ponged_once, self.ponged_s = self._pinged, now_s if self._pinged else None
        self._pinged, self.pinged_s = [], None
        if first_pong_s is None:
            return None
        self._ponged_twice.append((taken, max(first_pong_s + PROVEN_AFTER_S, now_s)))
        if self.disowned:
            return None
        self.proven_s = self._ponged_twice[0][1]
        refused, self._refused = tuple(self._refused), []
        events: list[GameEvent] = []
        accepted_s = NEVER
        for event, entry, _ in taken:
            events.append(event)
            accepted_s = min(accepted_s, entry.read_s - entry.age.least_s)
        return EndedEvents(tuple(events), refused, took_s=first_pong_s - accepted_s)

    def proven(self, now_s: float) -> list[StreamEvent]:
        """The events that may be acknowledged now. They count as acknowledged from then on."""
        found: list[StreamEvent] = []
        while self.proven_s <= now_s:
            found += self._ponged_twice.popleft()[0]
            self.proven_s = self._ponged_twice[0][1] if self._ponged_twice else NEVER
        self.unproven -= len(found)
        return found
