"""Waits for a condition that other code makes true."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.relay.protocol.errors import StoreError
from services.relay.store.client import Store

T = TypeVar("T")


async def until(
    condition: Callable[[], T | Awaitable[T]], within_s: float = 30.0, *, met: Callable[[T], object] = bool
) -> T:
    """Calls `condition` again and again. Returns its first value that is `met`. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while True:
            found = condition()
            value: T = await found if inspect.isawaitable(found) else found
            if met(value):
                return value
            await asyncio.sleep(0.01)


async def until_connected(store: Store) -> None:
    """Pings until Redis answers within the short time that a test gives this store."""

    async def answers() -> bool:
        try:
            await store.ping()
        except StoreError:
            return False
        return True

    await until(answers)
