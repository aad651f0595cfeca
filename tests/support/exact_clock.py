"""Redis' clock for tests: it never estimates, so that milliseconds count."""

import time

from services.relay.store.clock import StoreClock


class ExactClock(StoreClock):
    """Test and Redis run on one machine, so their clocks are equal."""

    def latest_us(self, moment_s: float) -> int:
        return int((moment_s - time.monotonic() + time.time()) * 1_000_000)
