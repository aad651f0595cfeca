"""Takaro's sync through real processes: answered from the mirror, and gentle to the game server."""

import asyncio

import pytest

from services.relay.vocabulary import Action
from services.sim.dayz.world import make_player
from services.sim.takaro import requests
from services.uplink.mirror.refreshes import BURST_S
from tests.flows.conftest import World

READS_PER_S = 4.0
"""The default pace."""


async def test_the_sync_of_sixty_players_reaches_the_mod_at_the_pace_and_no_faster(single: World) -> None:
    side = single.side("solo")
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    for number in range(60):
        side.mod.join(make_player(number))
    await side.until(lambda: len(side.events) == 60, timeout_s=60)

    for _ in range(2):
        answers = await side.takaro.burst(side.identity)
        assert len(answers) == 3 + 2 * 60
        assert [answer.error for answer in answers if answer.error] == []

    allowed = (loop.time() - begun_s) * READS_PER_S + READS_PER_S * BURST_S + 1
    assert 0 < side.mod.counters.operations <= allowed


async def test_equal_reads_that_wait_share_one_operation(single: World) -> None:
    side = single.side("solo")
    answers = await asyncio.gather(
        *(side.takaro.request(side.identity, Action.LIST_ITEMS) for _ in range(20))
    )
    assert all(answer.value for answer in answers)
    assert side.mod.counters.operations == 1
    await side.takaro.request(side.identity, Action.LIST_ITEMS)
    assert side.mod.counters.operations == 1  # it is fresh


async def test_what_is_known_outlives_uplink_and_is_given_while_the_mod_is_away(single: World) -> None:
    side = single.side("solo")
    player = make_player(1)
    side.mod.join(player)
    await side.until(lambda: side.events)
    location = requests.get_player(player.game_id)
    asked = [
        (Action.GET_PLAYERS, None),
        (Action.GET_PLAYER_LOCATION, location),
        (Action.GET_PLAYER_INVENTORY, location),
        (Action.LIST_ENTITIES, None),
    ]
    before = [await side.takaro.request(side.identity, *question) for question in asked]
    assert all(answer.error is None for answer in before)

    await side.shut()
    await single.relay.uplink.stop()
    await single.relay.uplink.start()
    await side.until(lambda: len(side.takaro.identifies(side.identity)) == 2)
    after = [await side.takaro.request(side.identity, *question) for question in asked]
    assert [answer.value for answer in after] == [answer.value for answer in before]
    assert all(answer.took_s < 1.0 for answer in after)


async def test_the_location_of_the_one_who_just_left_saves_their_last_event(single: World) -> None:
    """Takaro asks where a player is before it takes any event of theirs, the disconnect included."""
    side = single.side("solo")
    player = make_player(3)
    where = Action.GET_PLAYER_LOCATION, requests.get_player(player.game_id)
    side.mod.join(player)
    await side.until(lambda: side.events)
    await side.takaro.request(side.identity, *where)
    side.mod.leave(player.game_id)
    await side.until(lambda: [e.type for e in side.events] == ["player-connected", "player-disconnected"])
    answer = await side.takaro.request(side.identity, *where)
    assert [answer.value[axis] for axis in "xyz"] == pytest.approx(player.position)
    assert side.takaro.lost == []


async def test_an_operator_sees_how_old_the_mirror_is(single: World) -> None:
    side = single.side("solo")
    await side.takaro.request(side.identity, Action.GET_PLAYERS)
    age = "dayz_relay_mirror_age_seconds{part=players}"
    async with asyncio.timeout(20):
        while (metrics := await single.relay.uplink.metrics()).get(age, -1) < 0:
            await asyncio.sleep(0.2)
    assert metrics["dayz_relay_mirror_age_seconds{part=locations}"] == -1
