"""Tasks of a service are ended by the code that began them, and their faults stay theirs."""

import asyncio

import pytest

from services.relay.service.lifecycle import cancelled
from tests.support.waiting import until


async def test_ending_a_task_waits_for_it_and_ignores_how_it_ends() -> None:
    tidied = asyncio.Event()

    async def fails_while_it_ends() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            tidied.set()
            raise RuntimeError("while it ended")

    task = asyncio.create_task(fails_while_it_ends())
    await asyncio.sleep(0)
    await cancelled(task)
    assert tidied.is_set() and task.done()


async def test_a_caller_that_is_cancelled_while_it_ends_a_task_is_cancelled() -> None:
    may_end = asyncio.Event()

    async def ends_slowly() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await may_end.wait()

    slow = asyncio.create_task(ends_slowly())

    async def loop() -> None:
        while True:
            await cancelled(slow)
            await asyncio.sleep(0)

    looping = asyncio.create_task(loop())
    await until(slow.cancelling)
    looping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(looping, 30.0)
    may_end.set()
    await cancelled(slow)
