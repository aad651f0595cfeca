"""What to ask the mod for next, and when: merged, ordered by need, at a pace. Pure: time is an argument.

Takaro's burst of 3 + 2P reads each 30 s must never reach a mod that polls every 2 s and posts one result at
a time (contract.md B3). Whatever is wanted is wanted once, and leaves at so many a second.
"""

from dataclasses import dataclass
from typing import NamedTuple

from services.uplink.mirror.state import Subject
from services.uplink.mirror.table import READ_RULES

BURST_S = 2.0
"""What a quiet time saves up: as much as one poll of the mod fetches."""

MAX_UNDER_WAY = 20
MAX_WANTED = 1_000


class Need(NamedTuple):
    """Lowest first: what somebody waits for, then by rank, then what was wanted for longest."""

    nobody_waits: bool
    rank: int
    since_s: float


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
    """The reads that are wanted of one mod."""

    def __init__(self, per_s: float, now_s: float) -> None:
        self._pace = Pace(per_s, max(1.0, per_s * BURST_S), now_s)
        self._wanted: dict[Subject, Need] = {}
        self._under_way: set[Subject] = set()

    def __len__(self) -> int:
        return len(self._wanted)

    def want(self, subject: Subject, now_s: float, *, somebody_waits: bool) -> None:
        """Once is enough: a read that is wanted already, or under way, is not wanted again."""
        if subject in self._under_way:
            return
        if len(self._wanted) >= MAX_WANTED and subject not in self._wanted and not somebody_waits:
            return  # it will be asked for again
        since_s = self._wanted[subject].since_s if subject in self._wanted else now_s
        need = Need(not somebody_waits, READ_RULES[subject.action].rank, since_s)
        self._wanted[subject] = min(need, self._wanted.get(subject, need))

    def forget(self, subject: Subject) -> None:
        """Nobody wants it any more."""
        self._wanted.pop(subject, None)

    def wait_s(self, now_s: float) -> float | None:
        """How long until `take` gives something; None: not before something changes."""
        if not self._wanted or len(self._under_way) >= MAX_UNDER_WAY:
            return None
        return self._pace.wait_s(now_s)

    def take(self, now_s: float) -> Subject | None:
        """The read that is needed most, if it may leave now. `done` must follow."""
        if self.wait_s(now_s) != 0.0:
            return None
        subject = min(self._wanted, key=self._wanted.__getitem__)
        del self._wanted[subject]
        self._under_way.add(subject)
        self._pace.tokens -= 1.0
        return subject

    def done(self, subject: Subject) -> None:
        """The read has ended, one way or the other."""
        self._under_way.discard(subject)
