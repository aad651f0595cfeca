"""Memory for the bodies of an instance that are on their way in."""

import asyncio
from collections import deque


class BodyMemory:
    """Bounds the bytes in memory at once. A result may wait its turn: a mod posts each result once."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._taken = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def reserve(self, size_bytes: int) -> bool:
        """Reserve memory, which `release` must give back. False: there is not enough now."""
        if self._waiting or self._taken + size_bytes > self._most:
            return False
        self._taken += size_bytes
        return True

    async def wait_to_reserve(self, size_bytes: int, within_s: float) -> bool:
        """Like `reserve`, but waits for memory. False: there was not enough in time."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size_bytes, turn))
        self._serve_waiting()
        try:
            async with asyncio.timeout(within_s):
                await turn
        except BaseException as error:
            if not turn.cancel() and not turn.cancelled():  # its turn came at this moment
                self.release(size_bytes)
            self._serve_waiting()
            if isinstance(error, TimeoutError):
                return False
            raise
        return True

    def release(self, size_bytes: int) -> None:
        """Give reserved memory back."""
        self._taken -= size_bytes
        self._serve_waiting()

    def _serve_waiting(self) -> None:
        while self._waiting:
            size_bytes, turn = self._waiting[0]
            if not turn.done():  # else it has given up
                if self._taken + size_bytes > self._most:
                    return
                self._taken += size_bytes
                turn.set_result(None)
            self._waiting.popleft()
