"""Redis' clock for tests: it never estimates, so that milliseconds count."""

import math
import time

from services.relay.protocol.keys import keys_of
from services.relay.store.client import Store
from services.relay.store.clock import StoreClock

READ_WITHIN_S = 0.000_1


class ExactClock(StoreClock):
    """Test and Redis run on one machine, so their clocks are equal."""

    def __init__(self) -> None:
        super().__init__()
        self.known_until_s = math.inf
        while True:
            before_s, wall_s, after_s = time.monotonic(), time.time(), time.monotonic()
            if after_s - before_s < READ_WITHIN_S:  # else this process stood still between two of them
                self.least_ahead_us = self.most_ahead_us = int((wall_s - before_s) * 1_000_000)
                return

    def observe(self, redis_us: int, asked_s: float, now_s: float, within_us: int = 0) -> None:
        """Replies say nothing new."""


def exact(store: Store, slug: str) -> Store:
    """The store. From now on it knows the clock of the primary of this instance exactly."""
    key = keys_of(slug).events
    store.pipeline_for(key).clock = ExactClock()
    return store
