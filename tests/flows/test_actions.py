"""Each action with each generation of mods, through real processes: effect in the game, and answer."""

import itertools
from typing import Any

import pytest
import pytest_asyncio

from services.relay.protocol.vocabulary import Action
from services.sim.dayz.generations import Generation
from services.sim.dayz.world import ENTITIES, ITEMS, LOCATIONS, Player, make_player
from services.sim.takaro import requests
from services.sim.takaro.socket import Answer
from tests.flows.conftest import FlowWorld, Side
from tests.support.bans import PERMANENT_BANS, ban, unban

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(params=[generation.value for generation in Generation])
def side(world: FlowWorld, request: pytest.FixtureRequest) -> Side:
    return world.side(request.param)


NUMBERS = itertools.count(1, 5)


@pytest_asyncio.fixture(loop_scope="module")
async def player(side: Side) -> Player:
    """Somebody who is online and whom no other test meets."""
    player = make_player(next(NUMBERS))
    side.mod.join(player)
    await side.until(
        lambda: any(e.data.get("player", {}).get("gameId") == player.game_id for e in side.events)
    )
    return player


async def ask(side: Side, action: Action, args: Any = None) -> Answer:
    return await side.takaro.request(side.identity, action, args)


async def test_get_player(side: Side, player: Player) -> None:
    answer = await ask(side, Action.GET_PLAYER, requests.get_player(player.game_id))
    assert answer.error is None
    assert (answer.value["gameId"], answer.value["name"]) == (player.game_id, player.name)


async def test_get_player_of_somebody_who_left_returns_that_player(side: Side, player: Player) -> None:
    side.mod.leave(player.game_id)
    answer = await ask(side, Action.GET_PLAYER, requests.get_player(player.game_id))
    assert answer.error is None
    assert (answer.value["gameId"], answer.value["name"]) == (player.game_id, player.name)


async def test_get_players(side: Side, player: Player) -> None:
    answer = await ask(side, Action.GET_PLAYERS)
    assert answer.error is None
    assert {p["gameId"] for p in answer.value} == set(side.mod.world.players)


async def test_get_player_location(side: Side, player: Player) -> None:
    answer = await ask(side, Action.GET_PLAYER_LOCATION, requests.get_player(player.game_id))
    assert answer.error is None
    assert [answer.value[axis] for axis in "xyz"] == pytest.approx(player.position)


async def test_get_player_location_of_somebody_who_left_is_where_they_were(
    side: Side, player: Player
) -> None:
    await ask(side, Action.GET_PLAYER_LOCATION, requests.get_player(player.game_id))
    side.mod.leave(player.game_id)
    answer = await ask(side, Action.GET_PLAYER_LOCATION, requests.get_player(player.game_id))
    assert answer.error is None
    assert [answer.value[axis] for axis in "xyz"] == pytest.approx(player.position)


async def test_get_player_location_of_somebody_never_seen_is_an_error(side: Side) -> None:
    answer = await ask(side, Action.GET_PLAYER_LOCATION, requests.get_player("76561190000000042"))
    assert answer.raw == {"error": "no such player: 76561190000000042"}


async def test_get_player_inventory(side: Side, player: Player) -> None:
    answer = await ask(side, Action.GET_PLAYER_INVENTORY, requests.get_player(player.game_id))
    assert answer.error is None
    assert {(i["code"], i["amount"]) for i in answer.value} == {(i.code, i.amount) for i in player.inventory}


@pytest.mark.parametrize(
    ("action", "codes"),
    [
        (Action.LIST_ITEMS, {code for code, *_ in ITEMS}),
        (Action.LIST_ENTITIES, {code for code, *_ in ENTITIES}),
    ],
)
async def test_catalogues(side: Side, action: Action, codes: set[str]) -> None:
    answer = await ask(side, action)
    assert answer.error is None
    assert {row["code"] for row in answer.value} == codes


async def test_list_locations(side: Side) -> None:
    answer = await ask(side, Action.LIST_LOCATIONS)
    assert answer.error is None
    assert {row["name"] for row in answer.value} == {name for name, *_ in LOCATIONS}


async def test_test_reachability(side: Side) -> None:
    answer = await ask(side, Action.TEST_REACHABILITY)
    assert (answer.error, answer.value["connectable"]) == (None, True)


async def test_get_map_info_and_tile_are_answered_without_the_mod(side: Side) -> None:
    info = await ask(side, Action.GET_MAP_INFO)
    assert (info.error, info.value["enabled"]) == (None, False)
    tile = await ask(side, Action.GET_MAP_TILE, {"x": 0, "y": 0, "z": 0})
    assert (tile.error, type(tile.value)) == (None, str)


async def test_execute_console_command(side: Side) -> None:
    answer = await ask(side, Action.EXECUTE_CONSOLE_COMMAND, requests.console("players"))
    assert (answer.error, answer.value["success"]) == (None, True)
    assert side.mod.world.console[-1] == "players"


async def test_send_message_to_everybody_and_to_one(side: Side, player: Player) -> None:
    text = 'Welcome, "friend"!\nSecond line \\ Ünïcödé 漢字'
    assert (await ask(side, Action.SEND_MESSAGE, requests.send_message(text))).error is None
    recipient, shown = side.mod.world.messages[-1]
    assert recipient == "" and shown.startswith("Welcome, 'friend'!") and "漢字" in shown
    assert (await ask(side, Action.SEND_MESSAGE, requests.send_message("psst", player.game_id))).error is None
    assert side.mod.world.messages[-1] == (player.game_id, "psst")


async def test_a_message_too_long_for_the_engine_is_shortened_and_shown(side: Side) -> None:
    assert (await ask(side, Action.SEND_MESSAGE, requests.send_message("ж" * 3000))).error is None
    assert (
        set(side.mod.world.messages[-1][1]) <= {"ж", "…", "."} and len(side.mod.world.messages[-1][1]) > 200
    )


async def test_give_item(side: Side, player: Player) -> None:
    assert (await ask(side, Action.GIVE_ITEM, requests.give_item(player.game_id, "M4A1", 3))).error is None
    assert (player.inventory[-1].code, player.inventory[-1].amount) == ("M4A1", 3)


async def test_teleport_player(side: Side, player: Player) -> None:
    args = requests.teleport(player.game_id, 4500.5, 310.25, -12.125)
    assert (await ask(side, Action.TELEPORT_PLAYER, args)).error is None
    assert player.position == pytest.approx((4500.5, 310.25, -12.125))


async def test_kick_player(side: Side, player: Player) -> None:
    assert (await ask(side, Action.KICK_PLAYER, requests.kick(player.game_id, "bye"))).error is None
    assert player.game_id not in side.mod.world.players


@pytest.mark.parametrize("expiry", PERMANENT_BANS, ids=range(len(PERMANENT_BANS)))
async def test_ban_for_good_list_and_unban(side: Side, player: Player, expiry: dict[str, Any]) -> None:
    game_id = player.game_id
    assert (await ask(side, Action.BAN_PLAYER, ban(game_id, "cheating", **expiry))).error is None
    banned = side.mod.world.bans[game_id]
    assert (banned.duration_s, banned.expires_at, banned.reason) == (0, "", "cheating")
    listed = await ask(side, Action.LIST_BANS)
    assert listed.error is None
    [row] = [row for row in listed.value if row["player"]["gameId"] == game_id]
    assert row["expiresAt"] is None
    assert row["player"]["name"] == player.name  # the newest mod's list has ids only
    assert (await ask(side, Action.UNBAN_PLAYER, unban(game_id))).error is None
    assert game_id not in side.mod.world.bans


async def test_ban_for_a_while(side: Side, player: Player) -> None:
    args = ban(player.game_id, "spam", expiresAt="2031-12-31T23:59:59.000Z")
    assert (await ask(side, Action.BAN_PLAYER, args)).error is None
    banned = side.mod.world.bans[player.game_id]
    # Older generations read how long, the newest reads until when.
    assert banned.expires_at.startswith("2031-12-31") or banned.duration_s > 365 * 86_400
    [row] = [r for r in (await ask(side, Action.LIST_BANS)).value if r["player"]["gameId"] == player.game_id]
    assert (row["expiresAt"] or "").startswith("2031-12-31") is bool(banned.expires_at)


async def test_shutdown(side: Side) -> None:
    assert (await ask(side, Action.SHUTDOWN)).error is None
    assert side.mod.world.shutting_down


@pytest.mark.parametrize("action", [Action.KICK_PLAYER, Action.GIVE_ITEM, Action.TELEPORT_PLAYER])
async def test_what_the_mod_refuses_is_an_error_in_the_form_takaro_understands(
    side: Side, action: Action
) -> None:
    nobody = "76561190000000043"
    args = {
        Action.KICK_PLAYER: requests.kick(nobody, "bye"),
        Action.GIVE_ITEM: requests.give_item(nobody, "Apple"),
        Action.TELEPORT_PLAYER: requests.teleport(nobody, 1, 2, 3),
    }[action]
    answer = await ask(side, action, args)
    assert answer.error is not None and nobody in answer.error and "\n" not in answer.error


@pytest.mark.parametrize("action", Action)
async def test_no_action_is_ever_answered_with_null(side: Side, action: Action) -> None:
    """Whatever Takaro asks, even without the arguments it takes."""
    answer = await ask(side, action, {})
    assert answer.raw is not None


async def test_every_command_ran_exactly_once(world: FlowWorld) -> None:
    for side in world.sides.values():
        operations = [effect.operation_id for effect in side.mod.world.effects]
        assert len(operations) == len(set(operations))
