"""The last items of a feed, numbered: any number of readers follow it at their own pace."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")


class Journal(Generic[T]):
    """Keeps the last items: at most `most` with `most_bytes`, as `bytes_of` counts them.

    A reader remembers a number and has no queue of its own.
    """

    def __init__(self, most: int, most_bytes: int, bytes_of: Callable[[T], int]) -> None:
        self.number = 0  # the number of the last item
        self.is_closed = False
        self._most = most
        self._most_bytes = most_bytes
        self._bytes_of = bytes_of
        self._items: deque[T] = deque()
        self._bytes = 0
        self._news = asyncio.Event()

    @property
    def oldest(self) -> int:
        """The number before the first item that is kept."""
        return self.number - len(self._items)

    @property
    def items(self) -> list[T]:
        """All that are kept, the oldest first."""
        return list(self._items)

    def add(self, *items: T) -> None:
        for item in items:
            self._items.append(item)
            self._bytes += self._bytes_of(item)
            while len(self._items) > self._most or self._bytes > self._most_bytes:
                self._bytes -= self._bytes_of(self._items.popleft())
        self.number += len(items)
        if items:
            self._wake()

    def since(self, number: int) -> list[T] | None:
        """The items behind that number; None: the first of them is not kept any more."""
        if not self.oldest <= number <= self.number:
            return None
        return list(islice(self._items, number - self.oldest, None))

    async def news(self, number: int, within_s: float) -> None:
        """Waits for an item behind that number, for `within_s` at most, and not once it is closed."""
        if self.number == number and not self.is_closed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._news.wait()

    def forget(self) -> None:
        """Starts again behind a gap: readers of earlier items have to begin anew."""
        self._items.clear()
        self._bytes = 0
        self.number += 1

    def close(self) -> None:
        """No item follows."""
        self.is_closed = True
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
