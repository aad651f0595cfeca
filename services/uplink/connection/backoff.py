"""The delay before the next attempt. Pure: the random function is an argument.

Full jitter spreads a fleet of links over the whole interval after an outage. A successful connect does not
reset the delay: an identify that was refused after each connect made thousands of connects (protocol.md T2).
Only a link that was ready for RENEWED_AFTER_READY_S does.
"""

from collections.abc import Callable
from dataclasses import dataclass

RENEWED_AFTER_READY_S = 30.0

Uniform = Callable[[float, float], float]
"""Such as random.uniform."""


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


RECONNECT = Delays(base_s=0.5, cap_s=60.0)
REFUSED = Delays(base_s=60.0, cap_s=300.0, floor_s=30.0)
IDENTIFY_AGAIN = Delays(base_s=0.25, cap_s=60.0, floor_s=0.1)
"""One identify costs Takaro about five API calls (protocol.md T1)."""
