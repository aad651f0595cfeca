"""How long may a poll that finds nothing be held? The rules for one instance; pure: times are arguments.

Holding must never harm. An engine that ran its requests one after the other would keep its events back while
a poll is held, and a hold longer than its time-out would lose the poll. So holds start short, become longer
only on proof, and end for a good while on any sign of harm.
"""

import math
from enum import Enum, unique

START_S = 1.0
SAFE_S = 2.0
"""All that is tried again after a hold this long or longer was cut: the engine's shortest time-out is 3 s."""

EARLY_S = 0.3
"""Mods look whether to poll once a second (protocol.md M1): an answer just before a full second is followed
by the next poll at once, one just after it leaves the mod deaf for a second."""

LONG_S = 1.5
QUEUED_WITHIN_S = 0.15
QUEUED_HOLDS = 5
"""A mod flushes every second. If events come right behind a hold of LONG_S and none came during it, so many
times with no sign of the contrary between, they were queued up behind it and not merely late."""

FALL_BACK_S = 300.0

HASTY_S = 0.2
HASTY_POLLS = 5
GAP_S = 0.5
"""A mod that polls at once after every answer (17 times a second were seen) is held for GAP_S at least."""


@unique
class Ending(Enum):
    """How a held poll ended."""

    COMMAND = "command"
    EMPTY = "empty"
    HUNG_UP = "hung-up"
    SUPERSEDED = "superseded"  # the mod asked anew: it has given this one up
    OVERDUE = "overdue"  # given up like that, but only because this process stood still


GIVEN_UP = (Ending.HUNG_UP, Ending.SUPERSEDED)


class HoldRules:
    """What the mod of one instance can bear, as far as is known. All times are seconds on one clock."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._step_s = START_S
        self._off_until_s = -math.inf
        self._began_s: float | None = None  # since when a poll is held
        self._overlapped = False  # another call came meanwhile
        self._alone_s = -math.inf  # when a long hold ended empty, without another call during it
        self._queued = 0  # how often events came right behind such a hold
        self._empty_s = -math.inf  # when the last empty answer was given
        self._hasty = 0  # polls in a row that came at once after it

    def allowed_s(self, now_s: float) -> float:
        """How long a poll may be held now; 0: not at all."""
        if now_s < self._off_until_s:
            return 0.0
        return max(0.0, min(self._step_s, self._limit_s) - EARLY_S)

    def begin(self, now_s: float) -> float:
        """A poll has found nothing. Returns how long to hold it; 0: answer it at once."""
        self._hasty = self._hasty + 1 if now_s - self._empty_s < HASTY_S else 0
        hold_s = self.allowed_s(now_s)
        if self._hasty >= HASTY_POLLS:
            hold_s = max(hold_s, GAP_S)
        self._overlapped = False
        if hold_s:
            self._began_s = now_s
        else:
            self._empty_s = now_s
        return hold_s

    def called(self, now_s: float, *, events: bool) -> bool:
        """The mod made another call than a poll. True when this shows that polls must not be held now."""
        if self._began_s is not None:
            if not self._overlapped:
                self._overlapped = True
                self._queued = 0
                if self.allowed_s(now_s):
                    self._step_s = min(2 * self._step_s, max(self._limit_s, START_S))
        elif events and now_s - self._alone_s <= QUEUED_WITHIN_S:
            self._alone_s = -math.inf
            self._queued += 1
            if self._queued >= QUEUED_HOLDS:
                return self._fall_back(now_s)
        return False

    def end(self, now_s: float, ending: Ending) -> bool:
        """The held poll ended. True when this shows that polls must not be held now."""
        if self._began_s is None:
            return False
        held_s = now_s - self._began_s
        self._began_s = None
        self._empty_s = now_s if ending is Ending.EMPTY else -math.inf
        self._alone_s = -math.inf
        if ending in GIVEN_UP:
            if held_s >= SAFE_S:
                self._limit_s = min(self._limit_s, SAFE_S)
            return self._fall_back(now_s)
        if ending is Ending.EMPTY and held_s >= LONG_S and not self._overlapped:
            self._alone_s = now_s
        return False

    def _fall_back(self, now_s: float) -> bool:
        was_on = self.allowed_s(now_s) > 0
        self._off_until_s = now_s + FALL_BACK_S
        self._step_s = START_S
        self._queued = 0
        return was_on
