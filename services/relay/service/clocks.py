"""Clocks that are never set, and moments at which many do the same together."""

import sys
import time
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boottime_s() -> float:
    """Seconds on a clock that also runs while the machine sleeps, where there is one."""
    if sys.platform == "win32":
        return time.monotonic()
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


_WALL_AHEAD_S = time.time() - boottime_s()


def wall_s() -> float:
    """What the wall clock would show if nobody had set it since this process began."""
    return boottime_s() + _WALL_AHEAD_S


def boot_id() -> str:
    """Names the run of this machine in which `boottime_s` counts; "" where that is not to be had."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def next_beat_s(now_s: float, period_s: float) -> float:
    """The next moment that is the same for all who ask: what they do then goes to Redis in one round trip."""
    return (now_s // period_s + 1) * period_s
