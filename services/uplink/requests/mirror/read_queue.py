"""Decides which reads go to the mod next, and when. Pure: time is an argument.

Takaro's burst of 3 + 2P reads each 30 s must never reach a mod that polls every 2 s and posts one result at
a time (protocol.md T16). Equal reads are sent once, in the order of their rank, at a few a second.
"""

from itertools import chain, islice, takewhile

from services.relay.service.token_bucket import TokenBucket
from services.uplink.requests.mirror.mirror import Subject
from services.uplink.requests.mirror.read_rules import READ_RULES

BURST_S = 2.0
"""After this time without reads, as many may be sent at once as one poll fetches."""

MAX_UNDER_WAY = 20
MAX_REFRESHES = 1_000

_RANKS = sorted({rule.rank for rule in READ_RULES.values()})


class ReadQueue:
    """The reads of one mod that are to be sent.

    Reads that a request waits for are sent as soon as the pace allows. The others are delayed by `delay_s`,
    because Takaro asks all servers at one moment and its requests are answered first. They are sent in groups
    of as many as one poll fetches: to send each by itself would gain nothing and cost a round trip.
    """

    def __init__(self, per_s: float, delay_s: float, now_s: float) -> None:
        self._pace = TokenBucket(per_s, per_s * BURST_S, now_s)
        self._delay_s = delay_s
        # When each was first asked for: by rank, and within a rank in the order in which they came.
        self._waited_for: dict[int, dict[Subject, float]] = {rank: {} for rank in _RANKS}
        self._refreshes: dict[int, dict[Subject, float]] = {rank: {} for rank in _RANKS}
        self._under_way: set[Subject] = set()

    def __len__(self) -> int:
        return sum(map(len, (*self._waited_for.values(), *self._refreshes.values())))

    def add(self, subject: Subject, now_s: float, *, request_waits: bool) -> bool:
        """Adds a read, unless it waits already or is under way. True if `wait_s` may be less now."""
        rank = READ_RULES[subject.action].rank
        waited_for, refreshes = self._waited_for[rank], self._refreshes[rank]
        if subject in self._under_way or subject in waited_for:
            return False
        if request_waits:
            waited_for[subject] = refreshes.pop(subject, now_s)
            return True
        if subject in refreshes or (count := len(self)) >= MAX_REFRESHES:  # it will be asked for again
            return False
        refreshes[subject] = now_s
        return count == 0

    def take(self, now_s: float) -> list[Subject]:
        """The reads to send now, the most needed first. `done` must follow for each."""
        allowed, free = int(self._pace.level(now_s)), MAX_UNDER_WAY - len(self._under_way)
        taken = list(islice(chain.from_iterable(self._waited_for.values()), min(allowed, free)))
        ready = self._ready(now_s, free - len(taken))
        if len(ready) <= allowed - len(taken):
            taken += ready
        for subject in taken:
            rank = READ_RULES[subject.action].rank
            self._waited_for[rank].pop(subject, None)
            self._refreshes[rank].pop(subject, None)
        self._under_way.update(taken)
        self._pace.take(len(taken))
        return taken

    def clear(self) -> list[Subject]:
        """Forgets the reads that were not sent yet. Returns those that a request waits for."""
        waited_for = list(chain.from_iterable(self._waited_for.values()))
        for subjects in (*self._waited_for.values(), *self._refreshes.values()):
            subjects.clear()
        return waited_for

    def wait_s(self, now_s: float) -> float | None:
        """Time until `take` returns a read; None: not before something changes."""
        self._pace.level(now_s)
        free = MAX_UNDER_WAY - len(self._under_way)
        if not free:
            return None
        if any(self._waited_for.values()):
            return self._pace.wait_s(1)
        if ready := self._ready(now_s, free):
            return self._pace.wait_s(len(ready))
        first_s = [next(iter(subjects.values())) for subjects in self._refreshes.values() if subjects]
        return min(first_s) + self._delay_s - now_s if first_s else None

    def done(self, subject: Subject) -> bool:
        """A read has ended, with or without an answer. True if `wait_s` may be less now."""
        full = len(self._under_way) >= MAX_UNDER_WAY
        self._under_way.discard(subject)
        return full

    def _ready(self, now_s: float, free: int) -> list[Subject]:
        """The delayed reads that may be sent by now, at most one group."""
        ready = (
            subject
            for subjects in self._refreshes.values()
            for subject, _ in takewhile(lambda one: one[1] + self._delay_s <= now_s, subjects.items())
        )
        return list(islice(ready, min(free, int(self._pace.most))))
