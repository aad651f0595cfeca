"""What to ask the mod for next, and when: merged, ordered by need, at a pace. Pure: time is an argument.

Takaro's burst of 3 + 2P reads each 30 s must never reach a mod that polls every 2 s and posts one result at
a time (contract.md B3). Whatever is wanted is wanted once, and leaves at so many a second.
"""

import itertools
from dataclasses import dataclass

from services.uplink.mirror.state import Subject
from services.uplink.mirror.table import READ_RULES

BURST_S = 2.0
"""What a quiet time saves up: as much as one poll of the mod fetches."""

MAX_UNDER_WAY = 20
MAX_WANTED = 1_000

_RANKS = sorted({rule.rank for rule in READ_RULES.values()})


@dataclass(slots=True)
class Pace:
    """A bucket that fills with `per_s` a second up to BURST_S worth."""

    per_s: float
    tokens: float
    filled_s: float

    def wait_s(self, now_s: float) -> float:
        """How long until the next may leave; 0: now."""
        self.tokens = min(max(1.0, self.per_s * BURST_S), self.tokens + (now_s - self.filled_s) * self.per_s)
        self.filled_s = now_s
        return 0.0 if self.tokens >= 1.0 else (1.0 - self.tokens) / self.per_s


class Refreshes:
    """The reads that are wanted of one mod.

    What nobody waits for leaves `calm_s` later: what Takaro asked of all servers at one moment is answered
    first, everywhere.
    """

    def __init__(self, per_s: float, calm_s: float, now_s: float) -> None:
        self._pace = Pace(per_s, max(1.0, per_s * BURST_S), now_s)
        self._calm_s = calm_s
        # Since when each is wanted: by rank, and within a rank in the order in which they came.
        self._waited_for: dict[int, dict[Subject, float]] = {rank: {} for rank in _RANKS}
        self._wanted: dict[int, dict[Subject, float]] = {rank: {} for rank in _RANKS}
        self._under_way: set[Subject] = set()

    def __len__(self) -> int:
        return sum(map(len, (*self._waited_for.values(), *self._wanted.values())))

    def want(self, subject: Subject, now_s: float, *, somebody_waits: bool) -> None:
        """Once is enough: a read that is wanted already, or under way, is not wanted again."""
        rank = READ_RULES[subject.action].rank
        waited_for, wanted = self._waited_for[rank], self._wanted[rank]
        if subject in self._under_way or subject in waited_for:
            return
        if somebody_waits:
            waited_for[subject] = wanted.pop(subject, now_s)
        elif subject not in wanted and len(self) < MAX_WANTED:  # else it will be asked for again
            wanted[subject] = now_s

    def wait_s(self, now_s: float) -> float | None:
        """How long until `take` gives something; None: not before something changes."""
        if len(self._under_way) >= MAX_UNDER_WAY:
            return None
        pace_s = self._pace.wait_s(now_s)
        if any(self._waited_for.values()):
            return pace_s
        calm_s = [self._calm_left_s(subjects, now_s) for subjects in self._wanted.values() if subjects]
        return max(pace_s, min(calm_s)) if calm_s else None

    def take(self, now_s: float) -> Subject | None:
        """The read that is needed most, if it may leave now. `done` must follow."""
        if self.wait_s(now_s) != 0.0:
            return None
        subjects = next(
            itertools.chain(
                filter(None, self._waited_for.values()),
                (those for those in self._wanted.values() if those and not self._calm_left_s(those, now_s)),
            )
        )
        subject = next(iter(subjects))
        del subjects[subject]
        self._under_way.add(subject)
        self._pace.tokens -= 1.0
        return subject

    def done(self, subject: Subject) -> None:
        """The read has ended, one way or the other."""
        self._under_way.discard(subject)

    def _calm_left_s(self, subjects: dict[Subject, float], now_s: float) -> float:
        """How long until the first of these may leave."""
        return max(0.0, next(iter(subjects.values())) + self._calm_s - now_s)
