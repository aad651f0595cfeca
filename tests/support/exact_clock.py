"""Redis' clock for tests, in which what is a moment apart counts as that."""

import time

from services.relay.store.clock import StoreClock


class ExactClock(StoreClock):
    """Test and Redis are on one machine: no guess."""

    def is_known(self, now_s: float) -> bool:
        return True

    def latest_us(self, moment_s: float) -> int:
        return int((moment_s - time.monotonic() + time.time()) * 1_000_000)
