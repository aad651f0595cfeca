"""A write runs once, in time, or never, whoever is killed on its way; Takaro hears how far it came."""

import asyncio

import httpx
import pytest

from services.relay.protocol.command_states import MAY_HAVE_RUN, NOT_DELIVERED
from services.relay.protocol.keys import keys_of
from services.relay.protocol.vocabulary import HAND_OUT_WITHIN_S, Action
from services.relay.service.lifecycle import cancelled
from services.sim.dayz.world import make_player
from services.sim.takaro import requests
from services.sim.takaro.socket import Answer
from tests.flows.conftest import FlowWorld, Side, key
from tests.support.proxy import Proxy
from tests.support.waiting import until


def asked(side: Side, action: Action, args: object = None) -> asyncio.Task[Answer]:
    return asyncio.create_task(side.takaro.request(side.identity, action, args))


async def silent_mod(side: Side) -> None:
    """The mod is down, and the relay has nothing for it from before."""
    await side.mod.wait_for(lambda: not side.mod.polling)  # a poll under way could take something with it
    await side.shut()
    side.mod.world.effects.clear()


async def until_waiting(side: Side, world: FlowWorld) -> None:
    """A command waits in the store, says modapi's health page."""
    page = f"{world.relay.url}/k/{key(side.name)}/health"
    async with httpx.AsyncClient(timeout=30) as client:
        await until(lambda: client.get(page), met=lambda answer: answer.json()["pendingOperations"])


async def expire(side: Side, world: FlowWorld) -> None:
    """The deadline of the commands that wait passes: it is stored in Redis."""
    ask, waiting = world.relay.store.ask, keys_of(side.name).waiting
    for operation in await asyncio.to_thread(ask, "ZRANGE", waiting, 0, -1):
        await asyncio.to_thread(ask, "ZINCRBY", waiting, -1_000 * HAND_OUT_WITHIN_S, operation)


async def two_polls(side: Side) -> None:
    polls = side.mod.counters.polls
    await side.mod.wait_for(lambda: side.mod.counters.polls >= polls + 2)


async def test_a_write_of_an_uplink_that_was_killed_does_not_run_after_its_deadline(
    single: FlowWorld,
) -> None:
    side = single.side("solo")
    await silent_mod(side)
    asking = asked(side, Action.EXECUTE_CONSOLE_COMMAND, requests.console("too late"))
    await until_waiting(side, single)
    single.relay.uplink.kill()
    await single.relay.uplink.stop()
    await expire(side, single)
    await single.relay.uplink.start()
    side.boot()
    await two_polls(side)
    assert side.mod.world.effects == []
    await cancelled(asking)


async def test_a_write_of_an_uplink_that_was_killed_runs_once_if_the_mod_is_in_time(
    single: FlowWorld,
) -> None:
    side = single.side("solo")
    await silent_mod(side)
    asking = asked(side, Action.EXECUTE_CONSOLE_COMMAND, requests.console("in time"))
    await until_waiting(side, single)
    single.relay.uplink.kill()
    side.boot()  # at once: a slow machine starts an uplink for longer than a command waits for its mod
    await asyncio.gather(
        single.relay.uplink.restart_after_crash(), side.mod.wait_for(lambda: side.mod.world.effects)
    )
    await two_polls(side)
    assert [effect.args["command"] for effect in side.mod.world.effects] == ["in time"]
    await cancelled(asking)


@pytest.mark.parametrize("killed", [True, False], ids=["modapi killed", "reply lost"])
async def test_a_write_whose_poll_was_never_answered_is_not_handed_out_again(
    single: FlowWorld, killed: bool
) -> None:
    side = single.side("solo")
    player = make_player(1)
    side.mod.join(player)
    await side.until(lambda: side.events)
    await silent_mod(side)

    async with Proxy("127.0.0.1", single.relay.port) as proxy:
        direct = side.mod.http.base_url
        side.mod.http.base_url = direct.replace(f":{single.relay.port}", f":{proxy.port}")
        lost = asyncio.Event()

        def look(reply: bytes) -> None:
            if b"giveItem" in reply:
                proxy.drop_replies = True
                lost.set()

        proxy.on_reply = look
        asking = asked(side, Action.GIVE_ITEM, requests.give_item(player.game_id, "AKM"))
        side.boot()
        await lost.wait()
        if killed:
            await single.relay.modapi.restart_after_crash()
        await side.shut()

    side.mod.http.base_url = direct
    side.boot()
    answer = await asking
    assert answer.error is not None and answer.error.endswith(MAY_HAVE_RUN)
    await two_polls(side)
    assert side.mod.world.ran(Action.GIVE_ITEM) == []


async def test_a_write_is_never_called_delivered_when_others_came_and_went_since(single: FlowWorld) -> None:
    side = single.side("solo")
    await silent_mod(side)
    first = asked(side, Action.EXECUTE_CONSOLE_COMMAND, requests.console("first"))
    await until_waiting(side, single)
    await expire(side, single)  # and nobody is told yet: then somebody asks the next thing
    second = asked(side, Action.EXECUTE_CONSOLE_COMMAND, requests.console("second"))
    side.boot()
    assert (await second).error is None
    assert side.mod.world.console == ["second"]
    answer = await first
    assert answer.error is not None and NOT_DELIVERED in answer.error
