"""Which events has Takaro taken? Pure bookkeeping of windows and receipts (contract.md B2).

Takaro acknowledges no event. It answers our JSON ping in the handler that takes events, in order; one such
pong can overtake the error of an event sent before it, the second of two pings sent one after the other never
did. So a window is written with a ping behind it, and is taken when the pong of the window after it has come.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from services.relay.records import GameEvent

WINDOW_EVENTS = 32
"""Two windows are under way at most."""

MAX_REPEATED = 64
"""So many events at most are repeated after a fault (design.md)."""


class Position(NamedTuple):
    """A place in the stream: in the entry `entry`, behind its first `skip` events."""

    entry: str
    skip: int


@dataclass(frozen=True, slots=True)
class Window:
    """Events with one ping behind them; `end` is the place behind them, `size_bytes` that of the entries it
    ended, `expired` those events among them that were too old to be written, `accepted_s` when the oldest
    entry was accepted, on boottime_s().

    A window without events only carries the second ping of the one before it.
    """

    events: tuple[GameEvent, ...]
    end: Position
    size_bytes: int = 0
    expired: tuple[GameEvent, ...] = ()
    accepted_s: float = 0.0

    @property
    def counts(self) -> int:
        """How many events leave the stream with it."""
        return len(self.events) + len(self.expired)


class Refused(NamedTuple):
    """Why Takaro will never take one of the events that were under way: it does not say which."""

    reason: str
    candidates: tuple[GameEvent, ...]


class Taken(NamedTuple):
    """A window that Takaro has, and what was refused since the one before it was taken."""

    window: Window
    refused: tuple[Refused, ...]


class Delivery:
    """The windows under way on one socket: the last one, and the one before it until the last has its pong.

    After every `sent` comes one `ponged` before the next `sent`.
    """

    def __init__(self) -> None:
        self._before: Window | None = None
        self._last: Window | None = None
        self._refused: list[Refused] = []
        self.disowned = 0
        """Events that met a Takaro that has lost our server: they are to be sent again."""

    @property
    def unconfirmed(self) -> int:
        """How many events are written and not yet receipted."""
        return sum(len(window.events) for window in (self._before, self._last) if window)

    @property
    def under_way(self) -> bool:
        """Is there a window that is to be taken off the stream yet?"""
        return any(window.counts for window in (self._before, self._last) if window)

    def sent(self, window: Window) -> None:
        """A window was written, its ping behind it."""
        self._before, self._last = self._last, window

    def expired(self, late: list[GameEvent]) -> None:
        """Events of the last window became too old before it was their turn: they are not written."""
        self.held_back(late)
        assert self._last
        self._last = replace(self._last, expired=(*self._last.expired, *late))

    def held_back(self, events: Sequence[GameEvent]) -> None:
        """Events of the last window are not written after all."""
        assert self._last
        kept = tuple(event for event in self._last.events if not any(event is other for other in events))
        self._last = replace(self._last, events=kept)

    def refused(self, reason: str) -> None:
        """One event under way was refused for what it is. Sending it again would change nothing, and would
        double its neighbours."""
        windows = [window for window in (self._before, self._last) if window]
        self._refused.append(Refused(reason, tuple(event for window in windows for event in window.events)))

    def lost(self) -> None:
        """One event under way met a Takaro that does not have our server."""
        self.disowned += 1

    def ponged(self) -> Taken | None:
        """The pong of the last window came: the window before it is taken, with all its errors heard.

        None when there was none, or when events have to be sent again first.
        """
        if self.disowned:
            return None
        taken, self._before = self._before, None
        if taken is None or not taken.counts:
            return None
        refused, self._refused = tuple(self._refused), []
        return Taken(taken, refused)
