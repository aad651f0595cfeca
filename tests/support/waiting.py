"""Waits for a condition that other code makes true."""

import asyncio
import inspect
import time
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


def until_other_processes(condition: Callable[[], T], why: str = "", within_s: float = 40.0) -> T:
    """The same for a test without a loop: `condition` is made true by another process. `why` is what is
    missing if it takes too long."""
    ends_s = time.monotonic() + within_s
    while not (found := condition()):
        if time.monotonic() > ends_s:
            raise TimeoutError(why)
        time.sleep(0.02)
    return found


async def until_connected(store: Store) -> None:
    """Pings until Redis answers within the short time that a test gives this store."""

    async def answers() -> bool:
        try:
            await store.ping()
        except StoreError:
            return False
        return True

    await until(answers)
