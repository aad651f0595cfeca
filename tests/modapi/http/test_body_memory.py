"""Large results wait for each other, in turn, and whoever gives up leaves no trace."""

import asyncio

from services.modapi.http.body_memory import BodyMemory


async def test_results_without_memory_wait_in_turn() -> None:
    memory = BodyMemory(100)
    assert memory.reserve(60) and not memory.reserve(60)
    waits = [asyncio.create_task(memory.wait_to_reserve(size, 5.0)) for size in (60, 30, 90)]
    await asyncio.sleep(0)
    assert not memory.reserve(10)  # others were first
    memory.release(60)
    assert await waits[0] and await waits[1]
    assert not waits[2].done()
    memory.release(60)
    memory.release(30)
    assert await waits[2]


async def test_a_result_that_gave_up_takes_no_memory() -> None:
    memory = BodyMemory(100)
    assert memory.reserve(100)
    gave_up, cancelled = (
        asyncio.create_task(memory.wait_to_reserve(50, 0.0)),
        asyncio.create_task(memory.wait_to_reserve(50, 5.0)),
    )
    patient = asyncio.create_task(memory.wait_to_reserve(100, 5.0))
    assert await gave_up is False
    cancelled.cancel()
    await asyncio.wait([cancelled])
    memory.release(100)
    assert await patient
    memory.release(100)
    assert memory.reserve(100)


async def test_memory_for_a_result_that_gives_up_at_that_moment_goes_to_the_next() -> None:
    memory = BodyMemory(100)
    assert memory.reserve(100)
    leaving, staying = (asyncio.create_task(memory.wait_to_reserve(100, 5.0)) for _ in range(2))
    await asyncio.sleep(0)
    memory.release(100)
    leaving.cancel()
    await asyncio.wait([leaving])
    assert leaving.cancelled() and await staying
