"""How much one instance, and one stranger, may ask for. Pure: times are arguments, seconds of one clock."""

from collections import OrderedDict
from enum import Enum

from services.relay.protocol.limits import Limits
from services.relay.service.token_bucket import TokenBucket

BURST_S = 10.0
"""What was not used adds up for so long: a mod that was cut off comes back with all that it has kept."""

BYTES_AN_EVENT = 1024
MENDED_BYTES_AN_EVENT = 64
"""Long bodies, and those that have to be mended, cost like so many events: about as much CPU, measured."""

RESULTS_AT_ONCE = 2
"""So many of the greatest size may be held in memory, and in BURST_S come without being asked for."""

MAX_SOURCES = 10_000


class Posts(Enum):
    """What a request of an instance brings along."""

    NOTHING = "nothing"
    EVENTS = "events"
    RESULT = "result"


class RateLimits:
    """The pace of one instance. Each kind of post has a budget of its own: none silences the others."""

    def __init__(self, limits: Limits, now_s: float) -> None:
        self._requests = TokenBucket(limits.requests_per_s, limits.requests_per_s * BURST_S, now_s)
        self._events = TokenBucket(limits.events_per_s, limits.events_per_s * BURST_S, now_s)
        most_bytes = RESULTS_AT_ONCE * limits.result_bytes
        self._unasked = TokenBucket(most_bytes / BURST_S, most_bytes, now_s)

    def beyond(self, now_s: float, posts: Posts = Posts.NOTHING) -> str:
        """The limit that one more request is beyond, "" for none: then it is counted."""
        if self._requests.level(now_s) < 1:
            return "requests_per_s"
        if posts is Posts.EVENTS and self._events.level(now_s) < 1:
            return "events_per_s"
        if posts is Posts.RESULT and self._unasked.level(now_s) < 1:
            return "result_bytes"
        self._requests.take(1)
        return ""

    def posted(self, events: int, size_bytes: int, *, mended: bool = False) -> None:
        """It posted that. How much is known only when it is read, so what is too much is paid for later."""
        self._events.take(max(events, size_bytes // (MENDED_BYTES_AN_EVENT if mended else BYTES_AN_EVENT)))

    def posted_unasked(self, size_bytes: int) -> None:
        """It posted a result of that size that nobody waits for. Those that are asked for cost nothing."""
        self._unasked.take(size_bytes)


class LogLines:
    """Which log lines of one instance are let through, whoever sends them. `per_s` None: all."""

    def __init__(self, on: bool, per_s: float | None, now_s: float) -> None:
        self.set(on, per_s, now_s)

    def set(self, on: bool, per_s: float | None, now_s: float) -> None:
        """From now on so."""
        self.on = on
        self._lines = None if per_s is None else TokenBucket(per_s, per_s * BURST_S, now_s)
        self.all = on and per_s is None

    def admit(self, now_s: float) -> bool:
        """May one more pass? Then it is counted."""
        if not self.on:
            return False
        return self._lines is None or self._lines.admits(now_s)

    def give_back(self, count: int) -> None:
        """So many were not stored now: the same come again, or were stored before."""
        if self._lines:
            self._lines.take(-count)


class Incoming:
    """Bytes of one instance's bodies that have come, of requests that are not whole yet."""

    __slots__ = ("_most", "size_bytes")

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self.size_bytes = 0

    def add(self, size_bytes: int) -> bool:
        """More has come; False when it is too much now. To be taken away with the negative number."""
        self.size_bytes += size_bytes
        return self.size_bytes <= self._most


class WrongKeys:
    """Who has tried how many keys that open nothing. It forgets whoever was not heard of for longest."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._sources: OrderedDict[str, TokenBucket] = OrderedDict()

    def is_within(self, source: str, now_s: float) -> bool:
        """Would one more from there be within what is allowed?"""
        bucket = self._sources.get(source)
        return bucket is None or bucket.level(now_s) >= 1

    def tried(self, source: str, now_s: float) -> bool:
        """One more from there. Is it still within what is allowed?"""
        bucket = self._sources.get(source)
        if bucket is None:
            bucket = self._sources[source] = TokenBucket(self._per_minute / 60, self._per_minute, now_s)
            if len(self._sources) > MAX_SOURCES:
                self._sources.popitem(last=False)
        else:
            self._sources.move_to_end(source)
        return bucket.admits(now_s)

    def __len__(self) -> int:
        return len(self._sources)
