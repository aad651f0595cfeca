"""Memory for the large results of an instance: a mod posts each result once, so they wait for their turn."""

import asyncio
from collections import deque


class ResultMemory:
    """Bounds the bytes of results in memory at once. A result that finds no room can wait for it, in turn."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._taken = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def enter(self, size_bytes: int) -> bool:
        """Take room, which `leave` must give back. False: there is none now."""
        if self._waiting or self._taken + size_bytes > self._most:
            return False
        self._taken += size_bytes
        return True

    async def wait(self, size_bytes: int, within_s: float) -> bool:
        """Like `enter`, but waits for room. False: there was none in time."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size_bytes, turn))
        self._let_in()
        try:
            async with asyncio.timeout(within_s):
                await turn
        except BaseException as error:
            if not turn.cancel() and not turn.cancelled():  # its turn came at this moment
                self.leave(size_bytes)
            self._let_in()
            if isinstance(error, TimeoutError):
                return False
            raise
        return True

    def leave(self, size_bytes: int) -> None:
        """Give room back."""
        self._taken -= size_bytes
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting:
            size_bytes, turn = self._waiting[0]
            if not turn.done():  # else it has given up
                if self._taken + size_bytes > self._most:
                    return
                self._taken += size_bytes
                turn.set_result(None)
            self._waiting.popleft()
