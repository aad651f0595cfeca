"""A held poll carries a command at once where the mod bears it, and does no harm where not."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from services.relay.protocol.keys import keys_of
from services.relay.protocol.vocabulary import Action
from services.sim.dayz.generations import Generation
from services.sim.takaro import requests
from services.sim.takaro.socket import Answer
from tests.flows.conftest import FlowWorld, Side, make_world
from tests.support.waiting import until

POLL_S = 0.4
"""Slower than what counts as hasty, faster than in reality."""

COMMANDS = 8


@pytest_asyncio.fixture
async def calm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FlowWorld]:
    """One instance, "solo", whose mod polls calmly, its requests side by side. Parameter: hold_polls_s."""
    monkeypatch.setenv("RELAY_MODAPI__HOLD_POLLS_S", getattr(request, "param", "5"))
    async for made in make_world({"solo": Generation.SCANNER}, poll_s=POLL_S):
        yield made


async def held(world: FlowWorld) -> dict[str, int]:
    series = await world.relay.modapi.metrics()
    name = "dayz_relay_polls_held_total"
    return {key[len(name) + 7 : -1]: int(value) for key, value in series.items() if key.startswith(name)}


async def allowed_s(world: FlowWorld) -> float:
    """What `dayz-relay status` shows."""
    noted = await asyncio.to_thread(world.relay.store.ask, "HGET", keys_of("solo").mod, "hold_ms")
    return int(noted or 0) / 1000


async def until_held(world: FlowWorld, condition: Callable[[float, dict[str, int]], bool]) -> None:
    """Until what is allowed and how holds ended, as is noted and counted, is as it should be."""

    async def is_met() -> bool:
        return condition(await allowed_s(world), await held(world))

    await until(is_met, 60.0)


@contextlib.asynccontextmanager
async def talk(side: Side) -> AsyncIterator[list[str]]:
    """Log lines all the while; gives those that were written."""
    lines: list[str] = []

    async def write() -> None:
        while True:
            lines.append(f"line {len(lines)}")
            side.mod.log(lines[-1])
            await asyncio.sleep(0.1)

    writing = asyncio.create_task(write())
    try:
        yield lines
    finally:
        writing.cancel()


async def message(side: Side, text: str) -> Answer:
    return await side.takaro.request(side.identity, Action.SEND_MESSAGE, requests.send_message(text))


async def test_commands_reach_a_mod_in_the_poll_that_it_holds(calm: FlowWorld) -> None:
    side = calm.side("solo")
    async with talk(side):
        await until_held(calm, lambda allowed_s, _: allowed_s > 3)
    polls = side.mod.counters.polls
    await side.mod.wait_for(lambda: side.mod.counters.polls > polls)  # the next one is fresh
    for number in range(COMMANDS):
        await side.mod.wait_for(lambda: side.mod.polling)
        polls = side.mod.counters.polls
        assert (await message(side, f"message {number}")).error is None
        assert side.mod.counters.polls == polls + 1  # the poll that was under way, not the next one
    assert len(side.mod.world.ran(Action.SEND_MESSAGE)) == COMMANDS
    ended = await held(calm)
    assert ended["command"] > 0
    assert ended["hung-up"] == ended["superseded"] == 0


async def test_time_for_which_a_poll_was_held_is_no_latency(calm: FlowWorld) -> None:
    await until_held(calm, lambda _, held: held["empty"] >= 4)
    series = await calm.relay.modapi.metrics()
    quick = series["dayz_relay_mod_call_seconds_bucket{call=poll},{le=0.5}"]
    slow = series["dayz_relay_mod_call_seconds_count{call=poll}"] - quick
    assert slow <= 1  # a machine that stands still may delay one


async def test_a_mod_that_runs_its_requests_in_turn_is_never_held_for_long(calm: FlowWorld) -> None:
    side = calm.side("solo")
    side.mod.http.in_turn = True
    polls = side.mod.counters.polls
    await side.mod.wait_for(lambda: side.mod.counters.polls > polls)  # one went out before that
    async with talk(side) as lines:
        await until_held(calm, lambda _, held: held["empty"] >= 6)
        assert await allowed_s(calm) == pytest.approx(0.7)
    await side.until(lambda: lines[-1] in side.messages())
    assert side.messages() == lines


@pytest.mark.parametrize("calm", ["2"], indirect=True)
async def test_a_mod_whose_events_queue_up_behind_its_polls_is_no_longer_held(calm: FlowWorld) -> None:
    side = calm.side("solo")
    async with talk(side) as lines:
        await until_held(calm, lambda allowed_s, _: allowed_s > 1.5)
        side.mod.http.in_turn = True
        await until_held(calm, lambda allowed_s, _: allowed_s == 0)
    assert "events queue up" in calm.relay.modapi.log
    await side.until(lambda: lines[-1] in side.messages())
    assert side.messages() == lines


async def test_a_mod_that_hangs_up_is_no_longer_held_and_loses_no_command(calm: FlowWorld) -> None:
    side = calm.side("solo")
    side.mod.http.total_s = 0.3  # less than the shortest hold
    await until_held(calm, lambda allowed_s, held: allowed_s == 0 and held["hung-up"] >= 1)
    side.mod.http.total_s = 10.0
    for number in range(3):
        assert (await message(side, f"message {number}")).error is None
    assert len(side.mod.world.ran(Action.SEND_MESSAGE)) == 3
    assert (await held(calm))["command"] == 0


@pytest.mark.parametrize("calm", ["0"], indirect=True)
async def test_no_poll_is_held_when_holding_is_off(calm: FlowWorld) -> None:
    side = calm.side("solo")
    async with talk(side):
        await side.mod.wait_for(lambda: side.mod.counters.polls >= 10)
    assert (await message(side, "hello")).error is None
    assert await allowed_s(calm) == 0
    assert set((await held(calm)).values()) == {0}


async def test_a_service_that_stops_answers_the_poll_it_holds(calm: FlowWorld) -> None:
    side = calm.side("solo")
    async with talk(side):
        await until_held(calm, lambda allowed_s, _: allowed_s > 3)
    await side.mod.wait_for(lambda: side.mod.polling)
    counters = side.mod.counters
    polls, failed = counters.polls, counters.polls_failed
    assert await calm.relay.modapi.stop() == 0
    await side.mod.wait_for(lambda: counters.polls + counters.polls_failed > polls + failed)
    assert counters.polls > polls
