"""Large results wait for each other, in turn, and whoever gives up leaves no trace."""

import asyncio

from services.modapi.result_memory import ResultMemory


async def test_whoever_finds_no_room_waits_in_turn() -> None:
    room = ResultMemory(100)
    assert room.enter(60) and not room.enter(60)
    waits = [asyncio.create_task(room.wait(size, 5.0)) for size in (60, 30, 90)]
    await asyncio.sleep(0)
    assert not room.enter(10)  # others were first
    room.leave(60)
    assert await waits[0] and await waits[1]
    assert not waits[2].done()
    room.leave(60)
    room.leave(30)
    assert await waits[2]


async def test_whoever_waits_no_longer_takes_no_room() -> None:
    room = ResultMemory(100)
    assert room.enter(100)
    gave_up, cancelled = asyncio.create_task(room.wait(50, 0.0)), asyncio.create_task(room.wait(50, 5.0))
    patient = asyncio.create_task(room.wait(100, 5.0))
    assert await gave_up is False
    cancelled.cancel()
    await asyncio.wait([cancelled])
    room.leave(100)
    assert await patient
    room.leave(100)
    assert room.enter(100)


async def test_a_turn_that_comes_to_somebody_who_is_just_leaving_goes_to_the_next() -> None:
    room = ResultMemory(100)
    assert room.enter(100)
    leaving, staying = (asyncio.create_task(room.wait(100, 5.0)) for _ in range(2))
    await asyncio.sleep(0)
    room.leave(100)
    leaving.cancel()
    await asyncio.wait([leaving])
    assert leaving.cancelled() and await staying
