"""A caller that is gone before what it asked for is done."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from services.relay.service.lifecycle import cancelled

WITHIN_S = 5.0


async def cancelled_in(cls: type, method: str, call: Coroutine[Any, Any, Any]) -> None:
    """Runs `call` until it is in `method` of `cls`, which does not come back, and cancels it there."""
    reached = asyncio.Event()

    async def never(*_: Any, **__: Any) -> None:
        reached.set()
        await asyncio.Event().wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cls, method, never)
        task = asyncio.create_task(call)
        await asyncio.wait_for(reached.wait(), WITHIN_S)
        await cancelled(task)
