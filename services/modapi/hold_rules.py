"""Decides how long a poll that finds nothing may be held, for one instance. Pure: times are arguments.

Holding must never do harm. An engine that sent one call at a time would keep its events back while a poll
is held, and would lose a poll that is held longer than its time-out. So holds are short at first, become
longer only on proof that the mod sends other calls meanwhile, and stop for minutes on any sign of harm.
"""

import math
from enum import Enum, StrEnum, unique

START_S = 1.0
SAFE_S = 2.0
"""The longest hold after a mod has given up one of this length or more, until its game server starts anew.
The shortest time-out that a mod can set is 3 s (protocol.md M6)."""

EARLY_S = 0.3
"""Mods look once a second whether to poll (protocol.md M1). After an answer just before a full second the
next poll comes at once; after one just behind it the mod fetches nothing for a second."""

LONG_S = 1.5
QUEUED_WITHIN_S = 0.15
QUEUED_HOLDS = 5
"""A mod sends its events every second. If none come during a hold of LONG_S and some come right behind it,
this many times without a call during a hold in between, they were queued behind it and not merely late."""

FALL_BACK_S = 300.0

HASTY_S = 0.2
HASTY_POLLS = 5
GAP_S = 0.5
"""A mod that polls at once after every answer (17 times a second were seen) is held for at least GAP_S."""


@unique
class Ending(StrEnum):
    COMMAND = "command"
    EMPTY = "empty"
    HUNG_UP = "hung-up"
    SUPERSEDED = "superseded"  # the mod polled again, so it has given up this poll
    OVERDUE = "overdue"  # given up likewise, but only because this process stood still


GIVEN_UP = (Ending.HUNG_UP, Ending.SUPERSEDED)


@unique
class HoldState(Enum):
    FREE = "no poll is held"
    ALONE = "a poll is held, and no other call has come during it"
    SHARED = "a poll is held, and another call has come during it"
    BEHIND = "a long hold has ended without a command and without another call during it"


@unique
class HoldInput(Enum):
    HELD = "a poll is held"
    OTHER_CALL = "the mod makes a call that is no poll and no events"
    EVENTS = "the mod sends events"
    LONG_AND_EMPTY = "a hold of at least LONG_S ends without a command"
    ENDED = "a hold ends in any other way"


_MOVES: dict[HoldState, dict[HoldInput, HoldState]] = {
    HoldState.FREE: {HoldInput.HELD: HoldState.ALONE},
    HoldState.ALONE: {
        HoldInput.HELD: HoldState.ALONE,
        HoldInput.OTHER_CALL: HoldState.SHARED,
        HoldInput.EVENTS: HoldState.SHARED,
        HoldInput.LONG_AND_EMPTY: HoldState.BEHIND,
        HoldInput.ENDED: HoldState.FREE,
    },
    HoldState.SHARED: {
        HoldInput.HELD: HoldState.ALONE,
        HoldInput.LONG_AND_EMPTY: HoldState.FREE,
        HoldInput.ENDED: HoldState.FREE,
    },
    HoldState.BEHIND: {HoldInput.HELD: HoldState.ALONE, HoldInput.EVENTS: HoldState.FREE},
}
"""The next state for each input. An input that is missing changes nothing."""

_AFTER = {(state, given): _MOVES[state].get(given, state) for state in HoldState for given in HoldInput}

HELD = (HoldState.ALONE, HoldState.SHARED)


class HoldRules:
    """The holds of one instance, by what its mod has shown so far. All times are seconds on one clock."""

    def __init__(self, limit_s: float) -> None:
        self._most_s = self._limit_s = limit_s
        self._step_s = START_S
        self._off_until_s = -math.inf
        self.state = HoldState.FREE
        self._since_s = -math.inf  # when the hold began, or, in BEHIND, when it ended
        self._queued = 0  # how often events came right behind a hold
        self._empty_s = -math.inf  # when the last empty answer was given
        self._hasty = 0  # number of polls in a row that came at once after an empty answer

    def allowed_s(self, now_s: float) -> float:
        """How long a poll may be held now; 0: not at all."""
        if now_s < self._off_until_s:
            return 0.0
        return max(0.0, min(self._step_s, self._limit_s) - EARLY_S)

    def begin(self, now_s: float) -> float:
        """Begins a hold: a poll has found nothing. Returns how long to hold it; 0: answer it at once."""
        self._hasty = self._hasty + 1 if now_s - self._empty_s < HASTY_S else 0
        hold_s = self.allowed_s(now_s)
        if self._hasty >= HASTY_POLLS:
            hold_s = max(hold_s, GAP_S)
        if hold_s:
            self.state = _AFTER[self.state, HoldInput.HELD]
            self._since_s = now_s
        else:
            self._empty_s = now_s
        return hold_s

    def called(self, now_s: float, *, events: bool) -> bool:
        """Takes in a call that is no poll. True: it shows that polls must not be held now."""
        before = self.state
        self.state = _AFTER[before, HoldInput.EVENTS if events else HoldInput.OTHER_CALL]
        if before is HoldState.ALONE:
            self._queued = 0
            if self.allowed_s(now_s):
                self._step_s = min(2 * self._step_s, max(self._limit_s, START_S))
        elif before is HoldState.BEHIND and events and now_s - self._since_s <= QUEUED_WITHIN_S:
            self._queued += 1
            if self._queued >= QUEUED_HOLDS:
                return self._fall_back(now_s)
        return False

    def game_server_started(self) -> None:
        """Holds may grow to their limit again: a poll that was given up may have been cut by a stop."""
        self._limit_s = self._most_s

    def end(self, now_s: float, ending: Ending) -> bool:
        """Ends a hold. True: it shows that polls must not be held now."""
        held_s = now_s - self._since_s
        is_long_and_empty = ending is Ending.EMPTY and held_s >= LONG_S
        before = self.state
        self.state = _AFTER[before, HoldInput.LONG_AND_EMPTY if is_long_and_empty else HoldInput.ENDED]
        if before not in HELD:
            return False
        self._since_s = now_s
        self._empty_s = now_s if ending is Ending.EMPTY else -math.inf
        if ending not in GIVEN_UP:
            return False
        if held_s >= SAFE_S:
            self._limit_s = min(self._limit_s, SAFE_S)
        return self._fall_back(now_s)

    def _fall_back(self, now_s: float) -> bool:
        was_on = self.allowed_s(now_s) > 0
        self._off_until_s = now_s + FALL_BACK_S
        self._step_s = START_S
        self._queued = 0
        return was_on
