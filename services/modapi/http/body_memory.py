"""Memory for the bodies of an instance that are on their way in."""

import asyncio


class BodyMemory:
    """Bounds the bytes in memory at once. A result may wait its turn: a mod posts each result once."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._taken = 0
        self._waiting = 0
        self._turn = asyncio.Lock()
        self._released = asyncio.Event()

    def reserve(self, size_bytes: int) -> bool:
        """Reserve memory, which `release` must give back. False: there is not enough now."""
        if self._waiting or self._taken + size_bytes > self._most:
            return False
        self._taken += size_bytes
        return True

    async def wait_to_reserve(self, size_bytes: int, within_s: float) -> bool:
        """Like `reserve`, but waits for memory. False: there was not enough in time."""
        self._waiting += 1
        try:
            async with asyncio.timeout(within_s), self._turn:
                while self._taken + size_bytes > self._most:
                    self._released.clear()
                    await self._released.wait()
                self._taken += size_bytes
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return True

    def release(self, size_bytes: int) -> None:
        self._taken -= size_bytes
        self._released.set()
