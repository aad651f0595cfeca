"""Decides which reads go to the mod next, and when. Pure: time is an argument.

Takaro's burst of 3 + 2P reads each 30 s must never reach a mod that polls every 2 s and posts one result at
a time (protocol.md T16). Equal reads are sent once, the most needed ones first, at a few a second.
"""

from enum import IntEnum, unique
from itertools import chain, islice

from services.relay.service.token_bucket import TokenBucket
from services.uplink.requests.mirror.read_rules import READ_RULES, Subject

BURST_S = 2.0  # after this time without reads, as many may be sent at once as one poll fetches

MAX_UNDER_WAY = 20
MAX_REFRESHES = 1_000


@unique
class Need(IntEnum):
    """How much the answer is needed: a lower need goes first."""

    WAITED_FOR = 0  # a request waits for it
    UNKNOWN = 1  # a request would have to wait for it
    STALE = 2  # requests get the last answer meanwhile


_LANES = [(need, rank) for need in Need for rank in sorted({rule.rank for rule in READ_RULES.values()})]


class ReadQueue:
    """The reads of one mod that are to be sent.

    Reads that a request waits for are sent as soon as the pace allows. The others are delayed by `delay_s`,
    because Takaro asks all servers at one moment and its requests are answered first. They are sent in groups
    of as many as one poll fetches: to send each by itself would gain nothing and cost a round trip.
    """

    def __init__(self, per_s: float, delay_s: float, now_s: float) -> None:
        self._pace = TokenBucket(per_s, per_s * BURST_S, now_s)
        self._delay_s = delay_s
        # When each was first asked for: lane by lane, and within a lane in the order in which they came.
        lanes: dict[tuple[Need, int], dict[Subject, float]] = {lane: {} for lane in _LANES}
        self._lanes = lanes
        self._waited_for = [lane for (need, _), lane in lanes.items() if need is Need.WAITED_FOR]
        self._refreshes = [lane for (need, _), lane in lanes.items() if need is not Need.WAITED_FOR]
        self._needs: dict[Subject, Need] = {}
        self._under_way: set[Subject] = set()

    @property
    def request_waits(self) -> bool:
        """Whether a request waits for one of the reads."""
        return any(self._waited_for)

    def add(self, subject: Subject, now_s: float, need: Need) -> bool:
        """Adds a read, unless it is under way or waits with that need. True if `wait_s` may be less now."""
        before, rank, count = self._needs.get(subject), READ_RULES[subject.action].rank, len(self._needs)
        if subject in self._under_way or (before is not None and before <= need):
            return False
        if before is not None:
            now_s = self._lanes[before, rank].pop(subject)
        elif need is not Need.WAITED_FOR and count >= MAX_REFRESHES:  # it will be asked for again
            return False
        self._needs[subject] = need
        self._lanes[need, rank][subject] = now_s
        return need is Need.WAITED_FOR or count == 0

    def take(self, now_s: float) -> list[Subject]:
        """The reads to send now, the most needed first. `done` must follow for each."""
        allowed, free = int(self._pace.level(now_s)), MAX_UNDER_WAY - len(self._under_way)
        taken = list(islice(chain.from_iterable(self._waited_for), min(allowed, free)))
        ready = self._ready(now_s, free - len(taken))
        if len(ready) <= allowed - len(taken):
            taken += ready
        for subject in taken:
            del self._lanes[self._needs.pop(subject), READ_RULES[subject.action].rank][subject]
        self._under_way.update(taken)
        self._pace.take(len(taken))
        return taken

    def clear(self) -> list[Subject]:
        """Forgets the reads that were not sent yet. Returns those that a request waits for."""
        waited_for = list(chain.from_iterable(self._waited_for))
        self._needs.clear()
        for lane in self._lanes.values():
            lane.clear()
        return waited_for

    def wait_s(self, now_s: float) -> float | None:
        """Time until `take` returns a read; None: not before something changes."""
        if not self._needs:
            return None
        self._pace.level(now_s)
        free = MAX_UNDER_WAY - len(self._under_way)
        if not free:
            return None
        if self.request_waits:
            return self._pace.wait_s(1)
        if ready := self._ready(now_s, free):
            return self._pace.wait_s(len(ready))
        return min(next(iter(lane.values())) for lane in self._refreshes if lane) + self._delay_s - now_s

    def done(self, subject: Subject) -> bool:
        """A read has ended, with or without an answer. True if `wait_s` may be less now."""
        full = len(self._under_way) >= MAX_UNDER_WAY
        self._under_way.discard(subject)
        return full

    def _ready(self, now_s: float, free: int) -> list[Subject]:
        """The delayed reads that may be sent by now, at most one group."""
        most, ready = min(free, int(self._pace.most)), list[Subject]()
        for lane in self._refreshes:
            for subject, asked_s in lane.items():
                if len(ready) == most or asked_s + self._delay_s > now_s:
                    break
                ready.append(subject)
        return ready
