"""Decides which reads go to the mod next, and when. Pure: time is an argument.

Takaro's burst of 3 + 2P reads each 30 s must never reach a mod that polls every 2 s and posts one result at
a time (protocol.md T16). Equal reads are sent once, in the order of their rank, at a few a second.
"""

from itertools import chain, islice, takewhile

from services.relay.service.token_bucket import TokenBucket
from services.uplink.requests.mirror.mirror import Subject
from services.uplink.requests.mirror.read_rules import READ_RULES

BURST_S = 2.0
"""Time without reads that counts for the pace: after it, as many may be sent as one poll fetches."""

MAX_UNDER_WAY = 20
MAX_WANTED = 1_000

_RANKS = sorted({rule.rank for rule in READ_RULES.values()})


class Refreshes:
    """The reads of one mod that are to be sent.

    Reads that a request waits for are sent as soon as the pace allows. The others are delayed by `calm_s`,
    because Takaro asks all servers at one moment and its requests are answered first. They are sent in groups
    of as many as one poll fetches: to send each by itself would gain nothing and cost a round trip.
    """

    def __init__(self, per_s: float, calm_s: float, now_s: float) -> None:
        self._pace = TokenBucket(per_s, per_s * BURST_S, now_s)
        self._calm_s = calm_s
        # When each was first wanted: by rank, and within a rank in the order in which they came.
        self._waited_for: dict[int, dict[Subject, float]] = {rank: {} for rank in _RANKS}
        self._wanted: dict[int, dict[Subject, float]] = {rank: {} for rank in _RANKS}
        self._under_way: set[Subject] = set()

    def __len__(self) -> int:
        return sum(map(len, (*self._waited_for.values(), *self._wanted.values())))

    def want(self, subject: Subject, now_s: float, *, somebody_waits: bool) -> bool:
        """Adds a read, unless it waits already or is under way. True if `wait_s` may be less now."""
        rank = READ_RULES[subject.action].rank
        waited_for, wanted = self._waited_for[rank], self._wanted[rank]
        if subject in self._under_way or subject in waited_for:
            return False
        if somebody_waits:
            waited_for[subject] = wanted.pop(subject, now_s)
            return True
        if subject in wanted or (count := len(self)) >= MAX_WANTED:  # it will be asked for again
            return False
        wanted[subject] = now_s
        return count == 0

    def take(self, now_s: float) -> list[Subject]:
        """The reads to send now, the most needed first. `done` must follow for each."""
        may, room = int(self._pace.level(now_s)), MAX_UNDER_WAY - len(self._under_way)
        taken = list(islice(chain.from_iterable(self._waited_for.values()), min(may, room)))
        ready = self._ready(now_s, room - len(taken))
        if len(ready) <= may - len(taken):
            taken += ready
        for subject in taken:
            rank = READ_RULES[subject.action].rank
            self._waited_for[rank].pop(subject, None)
            self._wanted[rank].pop(subject, None)
        self._under_way.update(taken)
        self._pace.take(len(taken))
        return taken

    def clear(self) -> list[Subject]:
        """Forgets the reads that were not sent yet. Returns those that a request waits for."""
        waited_for = list(chain.from_iterable(self._waited_for.values()))
        for subjects in (*self._waited_for.values(), *self._wanted.values()):
            subjects.clear()
        return waited_for

    def wait_s(self, now_s: float) -> float | None:
        """Time until `take` returns a read; None: not before something changes."""
        self._pace.level(now_s)
        room = MAX_UNDER_WAY - len(self._under_way)
        if not room:
            return None
        if any(self._waited_for.values()):
            return self._pace.wait_s(1)
        if ready := self._ready(now_s, room):
            return self._pace.wait_s(len(ready))
        first_s = [next(iter(subjects.values())) for subjects in self._wanted.values() if subjects]
        return min(first_s) + self._calm_s - now_s if first_s else None

    def done(self, subject: Subject) -> bool:
        """A read has ended, with or without an answer. True if `wait_s` may be less now."""
        full = len(self._under_way) >= MAX_UNDER_WAY
        self._under_way.discard(subject)
        return full

    def _ready(self, now_s: float, room: int) -> list[Subject]:
        """The delayed reads that may be sent by now, at most one group."""
        ready = (
            subject
            for subjects in self._wanted.values()
            for subject, _ in takewhile(lambda wanted: wanted[1] + self._calm_s <= now_s, subjects.items())
        )
        return list(islice(ready, min(room, int(self._pace.most))))
