"""The times of a link. A test gives others.

Full jitter spreads a fleet of links over the whole interval after an outage. A successful connect does not
reset the delay: an identify that was refused after each connect made thousands of connects (protocol.md T2).
Only a link that was ready for RENEWED_AFTER_READY_S does.
"""

from collections.abc import Callable
from dataclasses import dataclass

RENEWED_AFTER_READY_S = 30.0

Uniform = Callable[[float, float], float]  # such as random.uniform


@dataclass(frozen=True, slots=True)
class Delays:
    """The n-th delay lies between `floor_s` and `base_s` doubled n times, but never above `cap_s`."""

    base_s: float
    cap_s: float
    floor_s: float = 0.0

    def delay_s(self, attempt: int, uniform: Uniform) -> float:
        """`attempt` counts failures since the delay was reset, from 0."""
        ceiling_s = min(self.cap_s, self.base_s * 2.0 ** min(attempt, 32))
        return uniform(min(self.floor_s, ceiling_s), ceiling_s)


@dataclass(frozen=True, slots=True)
class LinkTimes:
    """When a link tries again, gives something up, or replaces its socket."""

    reconnect: Delays = Delays(base_s=0.5, cap_s=60.0)
    refused: Delays = Delays(base_s=60.0, cap_s=300.0, floor_s=30.0)
    identify_again: Delays = Delays(base_s=0.25, cap_s=60.0, floor_s=0.1)
    """One identify costs Takaro about five API calls (protocol.md T1)."""
    check_every_s: float = 5.0  # interval of checking whether the socket in use is to be replaced
    identified_within_s: float = 15.0
    keep_alive_s: float = 45.0
    """After 60 s without an event Takaro makes a new emitter and loses events meanwhile (protocol.md T11)."""
    receipt_within_s: float = 10.0
    drain_within_s: float = 2.5
    """How long to wait for the receipts of sent events: two pongs, 100 ms (events/receipts.py), and Redis."""
    begin_again_s: float = 1.0  # delay after a fault of the program in the delivery
    replace_after_requests: int = 3_000
    """Each leaves a listener at Takaro's end: 1 ms for every frame after 1,000 (protocol.md T3)."""
    replace_after_s: float = 6 * 3600.0
    quiet_after_s: float = 100.0  # three rounds of Takaro's requests are missing then (replacement.py)


LINK_TIMES = LinkTimes()
