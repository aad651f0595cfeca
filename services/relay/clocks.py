"""The clock by which leases are trusted, and moments at which many do the same together."""

import sys
import time


def boottime_s() -> float:
    """Seconds on a clock that also runs while the machine sleeps, where there is one."""
    if sys.platform == "win32":
        return time.monotonic()
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def next_beat_s(now_s: float, period_s: float) -> float:
    """The next moment that is the same for all who ask: what they do then goes to Redis in one round trip."""
    return (now_s // period_s + 1) * period_s
