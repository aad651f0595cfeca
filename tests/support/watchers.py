"""Waits for a condition without polling: the code that changes the state calls `notify()`."""

import asyncio
from collections.abc import Callable


class Watchers:
    """`wait_for()` calls its condition again after each `notify()`."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def wait_for(self, predicate: Callable[[], object], timeout_s: float) -> None:
        """Return once `predicate()` is true. Raises TimeoutError after `timeout_s`."""
        async with asyncio.timeout(timeout_s):
            while not predicate():
                future = asyncio.get_running_loop().create_future()
                self._waiting.add(future)
                try:
                    await future
                finally:
                    self._waiting.discard(future)
