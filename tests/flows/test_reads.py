"""Takaro's sync through real processes: answered from the mirror, and gentle to the game server."""

import asyncio

import httpx
import pytest

from services.relay.protocol.vocabulary import Action
from services.sim.dayz.world import make_player
from services.sim.takaro import requests
from services.sim.takaro.socket import Answer
from services.uplink.requests.mirror.read_queue import BURST_S
from services.uplink.takaro import failures
from tests.flows.conftest import FlowWorld
from tests.support.waiting import until

READS_PER_S = 4.0
"""The default pace."""


async def test_the_sync_of_sixty_players_reaches_the_mod_at_the_pace_and_no_faster(single: FlowWorld) -> None:
    side = single.side("solo")
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    for number in range(60):
        side.mod.join(make_player(number))
    await side.until(lambda: len(side.events) == 60, timeout_s=60)

    for _ in range(2):
        answers = await side.takaro.burst(side.identity)
        assert len(answers) == 3 + 2 * 60
        failed = [answer for answer in answers if answer.error]
        # An inventory that the mod had no time to tell is not made up; where somebody is must be a place.
        assert all(answer.action == Action.GET_PLAYER_INVENTORY for answer in failed)
        late = (failures.NO_ANSWER.error, failures.QUEUE_FULL.error)
        assert all(answer.raw["error"] in late for answer in failed)

    allowed = (loop.time() - begun_s) * READS_PER_S + READS_PER_S * BURST_S + 1
    assert 0 < side.mod.counters.operations <= allowed


async def test_the_first_sync_after_players_joined_waits_for_nothing(single: FlowWorld) -> None:
    side = single.side("solo")
    for number in range(3):
        side.mod.join(make_player(number))
    await side.mod.wait_for(lambda: side.mod.counters.results >= 1 + 2 * 3)
    asked = side.mod.counters.operations
    answers = await side.takaro.burst(side.identity)
    assert [answer.error for answer in answers] == [None] * (3 + 2 * 3)
    assert side.mod.counters.operations == asked


async def test_equal_reads_that_wait_share_one_operation(single: FlowWorld) -> None:
    side = single.side("solo")
    answers = await asyncio.gather(
        *(side.takaro.request(side.identity, Action.LIST_ITEMS) for _ in range(20))
    )
    assert all(answer.value for answer in answers)
    assert side.mod.counters.operations == 1
    await side.takaro.request(side.identity, Action.LIST_ITEMS)
    assert side.mod.counters.operations == 1  # it is fresh


async def test_the_mirror_outlives_uplink_and_answers_while_the_mod_is_away(single: FlowWorld) -> None:
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
    assert all(answer.took_s < 5.0 for answer in after)  # a wait for the mod takes 9 s


async def test_the_location_of_the_one_who_just_left_saves_their_last_event(single: FlowWorld) -> None:
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


async def test_a_position_is_made_up_only_when_nobody_knows_it_and_an_event_waits_for_it(
    single: FlowWorld,
) -> None:
    side = single.side("solo")
    player, other = make_player(1), make_player(2)
    side.mod.failing = dict.fromkeys((Action.GET_PLAYER_LOCATION, Action.GET_PLAYER_INVENTORY), "it is busy")
    side.mod.join(player)
    side.mod.world.players[other.game_id] = other  # is there, and nothing happens to them
    await side.until(lambda: side.events)

    async def ask(action: Action, game_id: str) -> Answer:
        return await side.takaro.request(side.identity, action, requests.get_player(game_id))

    asked = side.mod.counters.operations
    assert (await ask(Action.GET_PLAYER_LOCATION, player.game_id)).value == {"x": 0, "y": 0, "z": 0}
    assert side.mod.counters.operations > asked  # the mod was asked first
    assert (await ask(Action.GET_PLAYER_LOCATION, other.game_id)).raw == {"error": "it is busy"}
    assert (await ask(Action.GET_PLAYER_INVENTORY, player.game_id)).raw == {"error": "it is busy"}
    assert side.takaro.lost == []

    metrics = await single.relay.uplink.metrics()
    assert metrics["dayz_relay_requests_total{action=getPlayerLocation},{outcome=made_up}"] == 2
    assert metrics["dayz_relay_requests_total{action=getPlayerLocation},{outcome=refused}"] == 1
    assert metrics["dayz_relay_requests_total{action=getPlayerInventory},{outcome=refused}"] == 1
    async with httpx.AsyncClient(timeout=30) as client:
        page = await until(lambda: the_page(single, client), met=lambda page: "2, last just now" in page)
    assert "Positions made up" in page

    side.mod.failing = {}
    place = (await ask(Action.GET_PLAYER_LOCATION, player.game_id)).value
    assert [place[axis] for axis in "xyz"] == pytest.approx(player.position)


async def the_page(world: FlowWorld, client: httpx.AsyncClient) -> str:
    return (await client.get(f"{world.relay.modapi.admin}/instance/solo")).text


async def test_an_operator_sees_how_old_the_mirror_is(single: FlowWorld) -> None:
    side = single.side("solo")
    await side.takaro.request(side.identity, Action.GET_PLAYERS)
    age = "dayz_relay_mirror_age_seconds{part=players}"
    metrics = await until(single.relay.uplink.metrics, met=lambda metrics: metrics.get(age, -1) >= 0)
    assert metrics["dayz_relay_mirror_age_seconds{part=locations}"] == -1
