"""How much one instance, or one unknown caller, may send. Pure: times are arguments, seconds of one clock."""

from collections import OrderedDict

from services.modapi.http.calls import CallKind
from services.relay.protocol.limits import Limits
from services.relay.service.token_bucket import TokenBucket

BURST_S = 10.0
"""Unused allowance adds up for this long: a mod that was cut off returns with all events that it has kept."""

BYTES_AN_EVENT = 1024
REPAIRED_BYTES_AN_EVENT = 64
"""Long bodies, and bodies that have to be repaired, count as more events: they cost as much CPU, measured."""

RESULTS_AT_ONCE = 2
"""Number of results of the largest size that may be in memory at once, or come unasked within BURST_S."""

MAX_SOURCES = 10_000


class RateLimits:
    """The limits of one instance. Each kind of post has a budget of its own, so none blocks the others."""

    def __init__(self, limits: Limits, now_s: float) -> None:
        self._calls = TokenBucket(limits.requests_per_s, limits.requests_per_s * BURST_S, now_s)
        self._events = TokenBucket(limits.events_per_s, limits.events_per_s * BURST_S, now_s)
        most_bytes = RESULTS_AT_ONCE * limits.result_bytes
        self._unasked = TokenBucket(most_bytes / BURST_S, most_bytes, now_s)

    def beyond(self, now_s: float, kind: CallKind = CallKind.OTHER) -> str:
        """The limit that one more call would exceed; "": none, and the call is counted."""
        if self._calls.level(now_s) < 1:
            return "requests_per_s"
        if kind in (CallKind.EVENTS, CallKind.AGENT) and self._events.level(now_s) < 1:
            return "events_per_s"
        if kind is CallKind.RESULT and self._unasked.level(now_s) < 1:
            return "result_bytes"
        self._calls.take(1)
        return ""

    def posted(self, events: int, size_bytes: int, *, repaired: bool = False) -> None:
        """Count the events of a post. They are known once it is read, so an excess delays the next posts."""
        bytes_each = REPAIRED_BYTES_AN_EVENT if repaired else BYTES_AN_EVENT
        self._events.take(max(events, size_bytes // bytes_each))

    def posted_unasked(self, size_bytes: int) -> None:
        """Count a result that no request waits for. Results that a request waits for cost nothing."""
        self._unasked.take(size_bytes)


class LogLines:
    """The limit of log lines of one instance, from all its senders together. `per_s` None: no limit."""

    def __init__(self, on: bool, per_s: float | None, now_s: float) -> None:
        self.set(on, per_s, now_s)

    def set(self, on: bool, per_s: float | None, now_s: float) -> None:
        """Change the settings. The allowance begins anew."""
        self.on = on
        self._lines = None if per_s is None else TokenBucket(per_s, per_s * BURST_S, now_s)
        self.all = on and per_s is None

    def admit(self, now_s: float) -> bool:
        """Whether one more line may pass. If so, it is counted."""
        if not self.on:
            return False
        return self._lines is None or self._lines.admits(now_s)

    def give_back(self, count: int) -> None:
        """Takes back `count` lines that were not stored: they come again, or were stored before."""
        if self._lines:
            self._lines.take(-count)


class WrongKeys:
    """The wrong keys that each source has tried. The source that was quiet for longest is forgotten first."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._sources: OrderedDict[str, TokenBucket] = OrderedDict()

    def is_within(self, source: str, now_s: float) -> bool:
        """Whether this source may try one more key."""
        bucket = self._sources.get(source)
        return bucket is None or bucket.level(now_s) >= 1

    def count(self, source: str, now_s: float) -> bool:
        """Counts one more key that the source has tried. True: it is within the limit."""
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
