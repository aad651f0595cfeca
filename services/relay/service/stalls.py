"""How long bytes that are read now may have waited unread. Pure, except for `watch`.

A process that stood still (frozen, suspended, a blocked loop, a busy machine) finds requests in its sockets
that their senders may have given up: one that is read soon afterwards may be as old as the standstill.
"""

import asyncio

from services.relay.service.clocks import boottime_s, until_shared_s

ALIVE_EVERY_S = 0.25
NOTICED_S = 0.5
READ_WITHIN_S = 2.0  # time after a standstill in which all bytes are read that came during it


class Stalls:
    """The standstills of one process. The loop that reads calls `alive` regularly."""

    def __init__(self, now_s: float) -> None:
        self._seen_s = now_s
        self._alive_s = 0.0  # how long the loop has been alive
        self._stalls: list[tuple[float, float]] = []  # `_alive_s` at each of the last ones, and its length

    def alive(self, now_s: float) -> None:
        passed_s = now_s - self._seen_s
        if passed_s - ALIVE_EVERY_S > NOTICED_S:
            self._stalls.append((self._alive_s, passed_s))
        else:
            self._alive_s += passed_s
        self._stalls = [stall for stall in self._stalls if self._alive_s - stall[0] < READ_WITHIN_S]
        self._seen_s = now_s

    def waited_s(self, now_s: float) -> float:
        """How long bytes that are read at `now_s` may have waited; 0: no standstill was just now.

        Bytes from one standstill may still be unread after the next one, but not once the loop has been alive
        for READ_WITHIN_S since.
        """
        silent_s, alive_s = now_s - self._seen_s, self._alive_s
        if silent_s - ALIVE_EVERY_S <= NOTICED_S:
            if not self._stalls:
                return 0.0
            alive_s, silent_s = alive_s + silent_s, 0.0
        return silent_s + sum(lasted_s for at_s, lasted_s in self._stalls if alive_s - at_s < READ_WITHIN_S)


async def watch(stalls: Stalls) -> None:
    """Calls `alive` again and again, on boottime_s(). Never returns."""
    while True:
        stalls.alive(boottime_s())
        await asyncio.sleep(until_shared_s(ALIVE_EVERY_S))
