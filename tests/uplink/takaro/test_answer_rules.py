"""Takaro's checks of our answers, action by action (protocol.md T14)."""

from typing import Any

import pytest

from services.relay.protocol.vocabulary import ACTION_KINDS, Action, ActionKind
from services.uplink.takaro.answer_rules import ANSWER_RULES, answer_fault, is_error

PLAYER = {
    "gameId": "1",
    "name": "Ann",
    "steamId": None,
    "platformId": "dayz:a_b-c",
    "ip": "10.0.0.1",
    "ping": 5,
}
POSITION = {"x": 1, "y": 2.5, "z": -3}
ITEM = {"code": "Apple", "name": "Apple", "amount": 1, "quality": "worn", "description": None}
MAP = {"enabled": False, "mapBlockSize": 0, "maxZoom": 0, "mapSizeX": 0, "mapSizeY": 0, "mapSizeZ": 0}
BAN = {"player": {"gameId": "1", "name": ""}, "reason": "", "expiresAt": "2031-12-31T23:59:59.000Z"}
OUTPUT = {"rawResult": "ok", "success": True}
ENTITY = {"code": "Wolf", "name": "Wolf", "type": "hostile", "metadata": {}}
LOCATION = {"position": POSITION, "name": "Elektro", "radius": 100}
BOX = {"position": POSITION, "name": "Box", "sizeX": 1, "sizeY": 2, "sizeZ": 0}
WITHOUT_RESULT = [a for a in Action if ACTION_KINDS[a] is ActionKind.WRITE if a != "executeConsoleCommand"]

VALID: list[tuple[Action, Any]] = [
    (Action.GET_PLAYER, PLAYER),
    (Action.GET_PLAYER, {"gameId": "1", "name": "", "extra": [1]}),
    (Action.GET_PLAYERS, []),
    (Action.GET_PLAYERS, [PLAYER, PLAYER]),
    (Action.GET_PLAYER_LOCATION, POSITION),
    (Action.GET_PLAYER_INVENTORY, [ITEM]),
    (Action.LIST_ITEMS, [ITEM, {"code": "a", "name": "b"}]),
    (Action.LIST_ENTITIES, [ENTITY, {"code": "a", "name": "b"}]),
    (Action.LIST_LOCATIONS, [LOCATION]),
    (Action.LIST_LOCATIONS, [BOX, LOCATION | {"radius": 0}]),
    (Action.LIST_BANS, [BAN, BAN | {"expiresAt": None}]),
    (Action.TEST_REACHABILITY, {"connectable": True}),
    (Action.TEST_REACHABILITY, {"connectable": False, "reason": "silent"}),
    (Action.GET_MAP_INFO, MAP),
    (Action.GET_MAP_TILE, "iVBORw0KGgo="),
    (Action.EXECUTE_CONSOLE_COMMAND, OUTPUT),
    (Action.EXECUTE_CONSOLE_COMMAND, OUTPUT | {"success": False, "errorMessage": "no"}),
    *((action, {}) for action in WITHOUT_RESULT),
    *((action, {"error": "no"}) for action in Action if action is not Action.TEST_REACHABILITY),
]

WRONG: list[tuple[Action, Any, str]] = [
    *((a, None, a.value) for a in Action if a not in WITHOUT_RESULT),
    *((a, {"error": {}}, f"{a}.error must be text") for a in WITHOUT_RESULT),
    *((a, {"error": ["x"]}, f"{a}.error must be text") for a in WITHOUT_RESULT),
    (Action.GET_PLAYER, PLAYER | {"name": None}, "getPlayer.name must be text"),
    (Action.GET_PLAYER, PLAYER | {"gameId": 1}, "getPlayer.gameId must be text and not empty"),
    (Action.GET_PLAYER, PLAYER | {"gameId": ""}, "getPlayer.gameId must be text and not empty"),
    (Action.GET_PLAYER, PLAYER | {"steamId": 76561198000000001}, "getPlayer.steamId must be text"),
    (Action.GET_PLAYER, PLAYER | {"platformId": ""}, "getPlayer.platformId must look like platform:id"),
    (Action.GET_PLAYER, PLAYER | {"platformId": "dayz:a=\n"}, "getPlayer.platformId must look like"),
    (Action.GET_PLAYER, PLAYER | {"ping": "5"}, "getPlayer.ping must be a finite number"),
    (Action.GET_PLAYERS, {"players": []}, "getPlayers must be a list"),
    (Action.GET_PLAYERS, [PLAYER, {}], "getPlayers[1].gameId must be text"),
    (Action.GET_PLAYERS, [None], "getPlayers[0] must be an object"),
    (Action.GET_PLAYER_LOCATION, {"x": 1, "y": 2}, "getPlayerLocation.z must be a finite number"),
    (Action.GET_PLAYER_LOCATION, POSITION | {"x": float("nan")}, "getPlayerLocation.x must be"),
    (Action.GET_PLAYER_LOCATION, POSITION | {"x": float("inf")}, "getPlayerLocation.x must be"),
    (Action.GET_PLAYER_LOCATION, POSITION | {"x": 10**400}, "getPlayerLocation.x must be"),
    (Action.GET_PLAYER_LOCATION, POSITION | {"x": True}, "getPlayerLocation.x must be"),
    (Action.GET_PLAYER_INVENTORY, [ITEM | {"quality": 5}], "getPlayerInventory[0].quality must be text"),
    (Action.LIST_ITEMS, [ITEM | {"amount": "1"}], "listItems[0].amount must be a finite number"),
    (Action.LIST_ITEMS, [{"code": "a"}], "listItems[0].name must be text"),
    (Action.LIST_ENTITIES, [ENTITY | {"type": "entity"}], "listEntities[0].type must be one of hostile"),
    (Action.LIST_ENTITIES, [ENTITY | {"metadata": "x"}], "listEntities[0].metadata must be an object"),
    (Action.LIST_LOCATIONS, [{"name": "x"}], "listLocations[0].position must be an object"),
    (Action.LIST_LOCATIONS, ["x"], "listLocations[0] must be an object"),
    (Action.LIST_LOCATIONS, [{"position": POSITION, "name": "x"}], "listLocations[0].sizeX must be"),
    (Action.LIST_LOCATIONS, [BOX | {"sizeZ": None}], "listLocations[0].sizeZ must be a finite number"),
    (Action.LIST_LOCATIONS, [BOX | {"radius": 1}], "listLocations[0] has a radius and a size"),
    (Action.LIST_LOCATIONS, [LOCATION | {"radius": None}], "listLocations[0].radius must be"),
    (Action.GET_PLAYER_LOCATION, POSITION | {"dimension": 1}, "getPlayerLocation.dimension must be text"),
    (Action.LIST_BANS, [BAN | {"player": {"gameId": "1"}}], "listBans[0].player.name must be text"),
    (Action.LIST_BANS, [BAN | {"expiresAt": ""}], "listBans[0].expiresAt must be an ISO 8601 date or null"),
    (Action.LIST_BANS, [BAN | {"expiresAt": 5}], "listBans[0].expiresAt must be"),
    (Action.LIST_BANS, [BAN | {"reason": None}], "listBans[0].reason must be text"),
    (Action.TEST_REACHABILITY, {"connectable": 1}, "testReachability.connectable must be true or false"),
    (Action.TEST_REACHABILITY, {"error": "no"}, "testReachability.connectable must be true or false"),
    *(
        (Action.GET_MAP_INFO, {k: v for k, v in MAP.items() if k != name}, f"getMapInfo.{name}")
        for name in MAP
    ),
    (Action.GET_MAP_TILE, b"", "getMapTile must be text"),
    (Action.EXECUTE_CONSOLE_COMMAND, OUTPUT | {"success": 1}, "executeConsoleCommand.success must be true"),
    (Action.EXECUTE_CONSOLE_COMMAND, {"success": True}, "executeConsoleCommand.rawResult must be text"),
]


@pytest.mark.parametrize(("action", "payload"), VALID)
def test_answers_that_takaro_accepts_are_valid(action: Action, payload: Any) -> None:
    assert answer_fault(action, payload) == ""


@pytest.mark.parametrize(("action", "payload", "wrong"), WRONG)
def test_answers_that_takaro_refuses_name_the_field(action: Action, payload: Any, wrong: str) -> None:
    assert answer_fault(action, payload).startswith(wrong)


def test_every_action_has_a_rule_and_a_case_on_both_sides() -> None:
    assert set(ANSWER_RULES) == {case[0] for case in VALID} == {case[0] for case in WRONG} == set(Action)


@pytest.mark.parametrize(
    ("payload", "error"),
    [({"error": "x"}, True), ({"error": {}}, True), ({"error": []}, True), ({"error": True}, True)]
    + [({"error": ""}, False), ({"error": None}, False), ({"error": 0}, False), ({"error": False}, False)]
    + [({}, False), ([], False), ("error", False), (None, False)],
)
def test_an_error_is_a_value_that_is_true_in_javascript(payload: Any, error: bool) -> None:
    assert is_error(payload) is error
