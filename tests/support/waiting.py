"""Waits for a condition that other code makes true."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def until(condition: Callable[[], T | Awaitable[T]], within_s: float = 20.0) -> T:
    """Calls `condition` again and again. Returns its first true value. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while True:
            met = condition()
            value: T = await met if inspect.isawaitable(met) else met
            if value:
                return value
            await asyncio.sleep(0.01)
