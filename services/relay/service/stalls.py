"""How long bytes that are read now may have waited unread. Pure, except for `watch`.

A process that stood still (frozen, suspended, a blocked loop, a busy machine) finds requests in its sockets
that their senders may have given up already. A request that is read soon afterwards may be as old as the
standstill.
"""

import asyncio

from services.relay.service.clocks import boottime_s, until_beat_s

BEAT_EVERY_S = 0.25
NOTICED_S = 0.5
READ_WITHIN_S = 2.0  # time after a standstill in which all bytes are read that came during it


class Stalls:
    """The standstills of one process. The loop that reads calls `beat` regularly.

    From `steady_from_s` to `steady_until_s` no standstill was just now: then `waited_s` is 0.
    """

    def __init__(self, now_s: float) -> None:
        self.steady_from_s = float("-inf")
        self.steady_until_s = now_s + BEAT_EVERY_S + NOTICED_S
        self._beat_s = now_s
        self._ended_s = float("-inf")
        self._lasted_s = 0.0

    def beat(self, now_s: float) -> None:
        """The loop is alive."""
        late_s = now_s - self._beat_s - BEAT_EVERY_S
        if late_s > NOTICED_S:
            # Bytes from the standstill before this one may still be unread: they are as old as both together.
            self._ended_s, self._lasted_s = now_s, self.waited_s(now_s)
            self.steady_from_s = now_s + READ_WITHIN_S
        self._beat_s = now_s
        self.steady_until_s = now_s + BEAT_EVERY_S + NOTICED_S

    def waited_s(self, now_s: float) -> float:
        """How long bytes that are read at `now_s` may have waited; 0: no standstill was just now."""
        silent_s = now_s - self._beat_s
        if silent_s - BEAT_EVERY_S > NOTICED_S:
            before_s = self._lasted_s if self._beat_s - self._ended_s < READ_WITHIN_S else 0.0
            return silent_s + before_s
        return self._lasted_s if now_s - self._ended_s < READ_WITHIN_S else 0.0


async def watch(stalls: Stalls) -> None:
    """Beats, on boottime_s(). Never returns."""
    while True:
        stalls.beat(boottime_s())
        await asyncio.sleep(until_beat_s(BEAT_EVERY_S))
