"""Clocks that are never set, and moments that many instances share."""

import sys
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

# C functions, because nearly everything that the relay does asks one of them for the time.
if sys.platform == "win32":
    boottime_s: Callable[[], float] = time.monotonic
else:
    boottime_s = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
"""Seconds on a clock that also runs while the machine sleeps, if the machine has one."""

WALL_AHEAD_S = time.time() - boottime_s()
"""How far the wall clock was ahead of `boottime_s` when this process began."""


def wall_s() -> float:
    """The time of the wall clock as it would be if it had not been set since this process began."""
    return boottime_s() + WALL_AHEAD_S


def boot_id() -> str:
    """The id of the boot since which `boottime_s` counts; "" if the machine has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


TIMER_EARLY_S = 0.001_5
"""A timer of uvloop counts in whole milliseconds, and may end this much early. Code that reads a clock
then finds nothing due, and would read it again and again until the moment has come."""


def next_shared_s(now_s: float, period_s: float, offset_s: float = 0.0) -> float:
    """The next moment that is `offset_s` after a multiple of `period_s`. All callers share it, and so their
    calls share a round trip."""
    return ((now_s - offset_s) // period_s + 1) * period_s + offset_s


def until_shared_s(period_s: float, at_least_s: float = 0.0) -> float:
    """How long to wait for the next moment that is a multiple of `period_s`, and `at_least_s` from now.

    Periodic work of a process waits for these moments: then it wakes up once for all of it.
    """
    now_s = time.monotonic()
    return next_shared_s(now_s + at_least_s, period_s) - now_s + TIMER_EARLY_S


def offset_of(name: str, period_s: float, step_s: float) -> float:
    """A multiple of `step_s` below `period_s`, always the same for a name. By it, the work of many instances
    is spread over a period: all of it at one moment would hold up the loop."""
    return zlib.crc32(name.encode()) % round(period_s / step_s) * step_s
