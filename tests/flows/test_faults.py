"""Killing and restarting any part in the middle loses no event and runs no command twice."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from services.relay.protocol.vocabulary import Action
from services.sim.dayz.world import make_player
from services.sim.takaro import requests
from tests.flows.conftest import FlowWorld, Side

LINES = 300
REPEATED_PER_FAULT = 64

Fault = Callable[[FlowWorld], Awaitable[None]]


async def kill_modapi(world: FlowWorld) -> None:
    await world.relay.modapi.restart_after_crash()


async def kill_uplink(world: FlowWorld) -> None:
    await world.relay.uplink.restart_after_crash()


async def kill_store(world: FlowWorld) -> None:
    await world.relay.restart_store()


async def drop_sockets(world: FlowWorld) -> None:
    world.takaro.drop_connections()


async def takaro_forgets(world: FlowWorld) -> None:
    world.takaro.faults_of("identity-solo").internal_errors()


FAULTS = [kill_modapi, kill_uplink, kill_store, drop_sockets, takaro_forgets]


async def steady_lines(side: Side, count: int) -> None:
    for number in range(count):
        side.mod.log(f"line {number}")
        await asyncio.sleep(0.005)  # a stream of events, not one batch


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_accepted_event_arrives_in_order_despite_the_fault(
    single: FlowWorld, fault: Fault
) -> None:
    side = single.side("solo")
    writing = asyncio.create_task(steady_lines(side, LINES))
    await side.until(lambda: len(side.messages()) > 30)
    await fault(single)
    await writing
    await side.until(lambda: f"line {LINES - 1}" in side.messages(), timeout_s=40)

    arrived = side.messages()
    firsts = list(dict.fromkeys(arrived))
    assert firsts == [f"line {number}" for number in range(LINES)]
    assert len(arrived) - len(firsts) <= REPEATED_PER_FAULT
    assert single.takaro.refused == [] or fault is takaro_forgets


@pytest.mark.parametrize("fault", [kill_modapi, kill_uplink, kill_store, drop_sockets])
async def test_no_command_runs_twice_despite_the_fault(single: FlowWorld, fault: Fault) -> None:
    side = single.side("solo")
    player = make_player(1)
    side.mod.join(player)
    await side.until(lambda: side.events)

    async def give() -> None:
        await side.takaro.request(
            side.identity, Action.GIVE_ITEM, requests.give_item(player.game_id, "Apple")
        )

    asking = [asyncio.create_task(give()) for _ in range(20)]
    await fault(single)
    asking += [asyncio.create_task(give()) for _ in range(20)]
    await asyncio.gather(*asking)
    operations = [effect.operation_id for effect in side.mod.world.ran(Action.GIVE_ITEM)]
    assert len(operations) == len(set(operations)) <= 40

    # ... and afterwards everything works again.
    await side.linked()
    answer = await side.takaro.request(
        side.identity, Action.GIVE_ITEM, requests.give_item(player.game_id, "AKM")
    )
    assert answer.error is None


async def test_events_wait_while_takaro_is_away_and_arrive_when_it_is_back(single: FlowWorld) -> None:
    side = single.side("solo")
    single.takaro.faults.kill_early = True
    single.takaro.drop_connections()
    side.mod.log("said while Takaro was away")
    await side.mod.wait_for(lambda: side.mod.queued == 0)
    single.takaro.faults.kill_early = False
    await side.until(lambda: "said while Takaro was away" in side.messages(), timeout_s=30)


async def test_a_mod_that_boots_while_takaro_and_uplink_are_away_is_registered_all_the_same(
    single: FlowWorld,
) -> None:
    side = single.side("solo")
    await side.shut()
    await single.relay.uplink.stop()
    side.mod.identity_token = side.mod.game_server_id = ""
    side.mod.registration_token = "mod-key-of-solo-0123456789"
    side.boot()
    await side.mod.wait_for(lambda: side.mod.registered)
    side.mod.log("nobody listens yet")
    await side.mod.wait_for(lambda: side.mod.queued == 0)
    await single.relay.uplink.start()
    await side.until(lambda: "nobody listens yet" in side.messages())


async def test_a_command_that_the_mod_never_fetches_fails_in_time_and_never_runs(single: FlowWorld) -> None:
    side = single.side("solo")
    await side.shut()
    answer = await side.takaro.request(side.identity, Action.SHUTDOWN, None)
    assert answer.error is not None and "not delivered" in answer.error
    assert answer.took_s < 10
    side.boot()
    polls = side.mod.counters.polls
    await side.mod.wait_for(lambda: side.mod.counters.polls >= polls + 2)
    assert not side.mod.world.shutting_down


async def test_a_poisoned_window_costs_one_event_and_no_neighbour(single: FlowWorld) -> None:
    side = single.side("solo")
    for number in range(10):
        side.mod.log(f"line {number}")
    await single.takaro.send_error_frame("Validation failed: something Takaro alone knows", side.identity)
    side.mod.log("the end")
    await side.until(lambda: "the end" in side.messages())
    assert side.messages() == [f"line {number}" for number in range(10)] + ["the end"]
