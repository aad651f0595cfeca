"""The clock by which leases are trusted."""

import sys
import time


def boottime_s() -> float:
    """Seconds on a clock that also runs while the machine sleeps, where there is one."""
    if sys.platform == "win32":
        return time.monotonic()
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
