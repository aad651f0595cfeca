"""Redis' clock, reckoned on from ours: what was when, without asking."""

import math
import time

PROMPT_S = 0.1
"""A reply that took longer tells the time badly."""

OLD_S = 10.0
"""A Redis fails over to one with another clock, or has its clock set: what it told is believed so long."""


class StoreClock:
    """Tells moments of time.monotonic() on Redis' clock, to within PROMPT_S.

    A reply that was under way for longer is believed only while there is no other: then it is off by as much.
    """

    def __init__(self) -> None:
        self._ahead_us = 0  # at most
        self._surely_ahead_us = 0  # at least
        self._told_s = -math.inf

    @property
    def known(self) -> bool:
        """Was it told lately enough to be used?"""
        return time.monotonic() - self._told_s < OLD_S

    def told(self, redis_us: int, asked_s: float) -> None:
        """A reply that came just now to what was asked at `asked_s` says that its clock shows `redis_us`."""
        now_s = time.monotonic()
        if now_s - asked_s < PROMPT_S or not self.known:
            self._ahead_us = redis_us - int(asked_s * 1_000_000)
            self._surely_ahead_us = redis_us - int(now_s * 1_000_000)
            self._told_s = now_s

    def at_us(self, moment_s: float) -> int:
        """Never too early."""
        return int(moment_s * 1_000_000) + self._ahead_us

    def surely_by_us(self, moment_s: float) -> int:
        """Never too late."""
        return int(moment_s * 1_000_000) + self._surely_ahead_us
