"""A caller that is cancelled before its call is done."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from services.relay.service.lifecycle import cancelled

WITHIN_S = 30.0


async def cancelled_in(cls: type, method: str, call: Coroutine[Any, Any, Any]) -> None:
    """Run `call` until it calls `method` of `cls`, which then never returns, and cancel it there."""
    reached = asyncio.Event()

    async def never(*_: Any, **__: Any) -> None:
        reached.set()
        await asyncio.Event().wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cls, method, never)
        task = asyncio.create_task(call)
        await asyncio.wait_for(reached.wait(), WITHIN_S)
        await cancelled(task)
