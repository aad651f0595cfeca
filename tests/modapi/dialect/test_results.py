"""What mods answer becomes the shapes that Takaro takes."""

import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.modapi.dialect.results import RESULT_MAPPERS, map_result
from services.relay.protocol.records import Outcome
from services.relay.protocol.vocabulary import ACTION_KINDS, ENTITY_TYPES, Action, ActionKind

ID = "76561198000000001"
ANN = {"gameId": ID, "name": "Ann", "steamId": ID}
PLACE = {"x": 1.5, "y": 2, "z": 3}


@pytest.mark.parametrize(
    ("action", "result", "value"),
    [
        (Action.GET_PLAYER, {**ANN, "ip": "", "ping": "42", "online": 1}, {**ANN, "ping": 42}),
        (
            Action.GET_PLAYER,
            {"gameId": int(ID), "name": "", "steamId": "", "online": 1},
            {**ANN, "name": "Survivor"},
        ),
        (Action.GET_PLAYER, {**ANN, "name": ID, "online": "true"}, {**ANN, "name": "Survivor"}),
        (Action.GET_PLAYER, {**ANN, "online": ""}, ANN),
        (Action.GET_PLAYER, None, None),
        (Action.GET_PLAYER, {}, None),
        (Action.GET_PLAYER, "", None),
        (Action.GET_PLAYERS, {"players": [{**ANN, "online": 1}, {}, None, 7]}, [ANN]),
        (Action.GET_PLAYERS, [ANN], [ANN]),
        (Action.GET_PLAYERS, {"players": None}, []),
        (Action.GET_PLAYERS, None, []),
        (Action.GET_PLAYERS, {}, []),
        (Action.GET_PLAYERS, "", []),
        (Action.GET_PLAYER_LOCATION, {"x": "1.5", "y": 2, "z": 3.0}, {**PLACE, "z": 3.0}),
        (Action.GET_PLAYER_LOCATION, {"x": 0, "y": 0.0, "z": "0"}, None),
        (Action.GET_PLAYER_LOCATION, {"x": 1, "y": None, "z": 3}, None),
        (Action.GET_PLAYER_LOCATION, None, None),
        (
            Action.GET_PLAYER_INVENTORY,
            [{"code": "Rag", "name": "Rag", "amount": 4, "quality": ""}],
            [{"code": "Rag", "name": "Rag", "amount": 4}],
        ),
        (
            Action.GET_PLAYER_INVENTORY,
            {"items": [{"code": "Rag", "name": "", "amount": "4", "quality": 5}]},
            [{"code": "Rag", "name": "Rag", "amount": 4, "quality": "5"}],
        ),
        (
            Action.LIST_ITEMS,
            {"items": [{"name": "Rag", "amount": None, "description": "A\nrag"}, {"name": ""}, [], None]},
            [{"code": "Rag", "name": "Rag", "description": "A rag"}],
        ),
        (
            Action.LIST_ENTITIES,
            [
                {"code": "Wolf", "name": "Wolf", "type": "entity"},
                {"code": "Zmb", "name": "Zombie", "type": "Hostile", "metadata": {"health": 1}},
                {"code": "Hen", "name": "Hen", "metadata": {}},
            ],
            [
                {"code": "Wolf", "name": "Wolf", "type": "neutral"},
                {"code": "Zmb", "name": "Zombie", "type": "hostile", "metadata": {"health": 1}},
                {"code": "Hen", "name": "Hen", "type": "neutral"},
            ],
        ),
        (
            Action.LIST_LOCATIONS,
            [
                {
                    "position": PLACE,
                    "name": "A",
                    "code": "a",
                    "radius": 50,
                    "sizeX": 0,
                    "sizeY": 0,
                    "sizeZ": 0,
                },
                {"position": PLACE, "name": "B", "radius": 0, "sizeX": 9, "sizeY": 8, "sizeZ": 7},
                {"position": PLACE, "name": "C", "radius": 5, "sizeX": 9, "sizeY": 8},
                {"position": PLACE, "code": "d", "sizeX": 9, "sizeY": 8, "sizeZ": 0},
                {"position": PLACE, "name": "E", "radius": 0, "metadata": {}},
                {"position": None, "name": "F"},
                {"position": PLACE, "name": ""},
            ],
            [
                {"position": PLACE, "name": "A", "code": "a", "radius": 50},
                {"position": PLACE, "name": "B", "sizeX": 9, "sizeY": 8, "sizeZ": 7},
                {"position": PLACE, "name": "C", "radius": 5},
                {"position": PLACE, "name": "d", "code": "d", "sizeX": 9, "sizeY": 8, "sizeZ": 0},
                {"position": PLACE, "name": "E", "radius": 0},
            ],
        ),
        (
            Action.LIST_BANS,
            {"bans": [{"player": {"gameId": ID}, "reason": "", "expiresAt": ""}]},
            [{"player": {**ANN, "name": ID}, "reason": "", "expiresAt": None}],
        ),
        (
            Action.LIST_BANS,
            [
                {"player": ANN, "reason": "rude", "expiresAt": "2031-12-31T23:59:59Z"},
                {"gameId": "a" * 32, "reason": None, "expiresAt": "3021-01-01T00:00:00Z"},
                {"player": {"gameId": ""}, "reason": "nobody"},
                {"player": ANN, "reason": "rude", "expiresAt": "soon"},
                {"player": ANN, "reason": "rude", "expiresAt": 1893805320},
                {"player": ANN, "reason": "rude", "expiresAt": "2030-1-5T1:2:0Z"},
            ],
            [
                {"player": ANN, "reason": "rude", "expiresAt": "2031-12-31T23:59:59Z"},
                {"player": {"gameId": "a" * 32, "name": "a" * 32}, "reason": "", "expiresAt": None},
                {"player": ANN, "reason": "rude", "expiresAt": "2030-01-05T01:02:00Z"},
                {"player": ANN, "reason": "rude", "expiresAt": "2030-01-05T01:02:00Z"},
            ],
        ),
        (Action.EXECUTE_CONSOLE_COMMAND, "a\nb", {"rawResult": "a\nb", "success": True}),
        (Action.EXECUTE_CONSOLE_COMMAND, None, {"rawResult": "", "success": True}),
        (
            Action.EXECUTE_CONSOLE_COMMAND,
            {"rawResult": "ok", "success": 1, "errorMessage": ""},
            {"rawResult": "ok", "success": True},
        ),
        (
            Action.EXECUTE_CONSOLE_COMMAND,
            {"rawResult": 7, "success": 0, "errorMessage": "no\nway"},
            {"rawResult": "7", "success": False, "errorMessage": "no way"},
        ),
        (Action.SEND_MESSAGE, {}, {}),
        (Action.GIVE_ITEM, None, {}),
        (Action.TELEPORT_PLAYER, "", {}),
        (Action.KICK_PLAYER, {"error": "x"}, {}),
        (Action.BAN_PLAYER, {}, {}),
        (Action.UNBAN_PLAYER, {}, {}),
        (Action.SHUTDOWN, {}, {}),
    ],
)
def test_each_answer_is_in_the_shape_takaro_takes(action: Action, result: Any, value: Any) -> None:
    assert map_result(action, True, result, "") == Outcome(value)


MADE_UP = {"gameId": ID, "name": ID, "steamId": ID, "platformId": f"steam:{ID}"}
"""What the newest mod answers of a player who is offline: all of it from the id that it was asked about."""


@pytest.mark.parametrize(
    "record",
    [
        MADE_UP,
        {**MADE_UP, "online": False},
        {**MADE_UP, "online": ""},
        {"gameId": ID, "name": "", "steamId": ID, "online": 0},
        {"gameId": int(ID), "name": "", "steamId": ""},
        {**ANN, "online": "false"},
    ],
)
def test_a_record_of_a_player_who_is_offline_names_nobody(record: dict[str, Any]) -> None:
    assert map_result(Action.GET_PLAYER, True, record, "") == Outcome()


def test_a_list_of_players_takes_nothing_that_was_made_up_from_an_id() -> None:
    expected = Outcome([{**ANN, "name": "Survivor"}])
    assert map_result(Action.GET_PLAYERS, True, {"players": [MADE_UP]}, "") == expected


@pytest.mark.parametrize("ok", [True, 1, 1.0, "1", "true", "True", None])
def test_a_success_is_recognised_in_every_form(ok: Any) -> None:
    assert map_result(Action.GIVE_ITEM, ok, {}, "").error == ""


@pytest.mark.parametrize("ok", [False, 0, "0", "false", "", [], {}])
def test_a_failure_is_recognised_in_every_form(ok: Any) -> None:
    assert map_result(Action.GIVE_ITEM, ok, {}, "No such item") == Outcome(error="No such item")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("Bad args:\r\n\tline 1\n  col 2\x00", "Bad args: line 1 col 2"),
        ("x" * 900, "x" * 500),
        ("", "the game server reports a failure and no reason"),
        (None, "the game server reports a failure and no reason"),
        (" \n", "the game server reports a failure and no reason"),
        ({"a": 1}, "the game server reports a failure and no reason"),
    ],
)
def test_an_error_is_one_line_of_text_and_never_empty(error: Any, text: str) -> None:
    assert map_result(Action.KICK_PLAYER, False, None, error) == Outcome(error=text)


def test_without_ok_the_error_text_decides() -> None:
    assert map_result(Action.KICK_PLAYER, None, None, "no") == Outcome(error="no")


@pytest.mark.parametrize(
    "action", [Action.GET_PLAYER, Action.GET_PLAYER_LOCATION, Action.GET_PLAYER_INVENTORY]
)
@pytest.mark.parametrize("error", [f"Player not online: {ID}", "player is offline", "Player not found"])
def test_asking_about_a_player_who_is_offline_finds_nobody(action: Action, error: str) -> None:
    assert map_result(action, 0, None, error) == Outcome()


def test_doing_something_to_a_player_who_is_offline_is_an_error() -> None:
    assert map_result(Action.KICK_PLAYER, 0, None, "Player not online") == Outcome(error="Player not online")


def test_a_console_command_that_failed_is_shown_with_its_text() -> None:
    shown = {"rawResult": "no", "success": False, "errorMessage": "no"}
    assert map_result(Action.EXECUTE_CONSOLE_COMMAND, False, None, "no") == Outcome(shown)


OTHER = "76561198000000002"


@pytest.mark.parametrize(
    "forged",
    [
        {"gameId": OTHER, "name": "x", "steamId": ID},
        {"gameId": [ID, OTHER], "name": "x", "steamId": ID},
        {"gameId": ID, "name": ["x", "y"]},
        {"gameId": OTHER, "GameID": ID},
    ],
)
def test_a_record_that_means_several_players_is_left_out(forged: dict[str, Any]) -> None:
    assert map_result(Action.GET_PLAYER, True, forged, "") == Outcome()
    assert map_result(Action.GET_PLAYERS, True, [ANN, forged], "") == Outcome([ANN])
    bans = map_result(Action.LIST_BANS, True, [{"player": forged}, {"player": ANN}], "").value
    assert [ban["player"] for ban in bans] == [ANN]


@pytest.mark.parametrize("ban", [{"player": ANN, "gameId": OTHER}, {"player": [ANN, {"gameId": OTHER}]}])
def test_a_ban_that_names_two_players_is_left_out(ban: dict[str, Any]) -> None:
    assert map_result(Action.LIST_BANS, True, [ban], "") == Outcome([])


@pytest.mark.parametrize(
    ("action", "result"),
    [(Action.GET_PLAYERS, [[ANN], [ANN]]), (Action.GET_PLAYER, [ANN, ANN])]
    + [(Action.GET_PLAYERS, "many"), (Action.LIST_ITEMS, {"count": 3}), (Action.LIST_BANS, 7)],
)
def test_an_answer_of_no_known_shape_is_an_error_that_names_the_action(action: Action, result: Any) -> None:
    outcome = map_result(action, True, result, "")
    assert outcome.value is None
    assert action.value in outcome.error


def test_metadata_that_could_not_be_sent_is_left_out() -> None:
    deep: dict[str, Any] = {}
    for _ in range(300):
        deep = {"a": deep}
    entity = {"code": "a", "name": "a", "metadata": deep}
    assert map_result(Action.LIST_ENTITIES, 1, [entity], "").value == [
        {"code": "a", "name": "a", "type": "neutral"}
    ]


def test_every_action_that_the_mod_is_asked_has_a_mapper() -> None:
    asked = {action for action, kind in ACTION_KINDS.items() if kind is not ActionKind.OURS}
    assert set(RESULT_MAPPERS) == asked


KEYS = ["gameId", "name", "steamId", "platformId", "ip", "ping", "x", "y", "z", "code", "amount", "quality"]
KEYS += [
    "description",
    "type",
    "metadata",
    "position",
    "radius",
    "sizeX",
    "sizeY",
    "player",
    "reason",
    "expiresAt",
]
KEYS += [
    "rawResult",
    "success",
    "errorMessage",
    "connectable",
    "enabled",
    "maxZoom",
    "players",
    "items",
    "bans",
]
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([ID, "1", "nan"])
)
ANY = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=16,
)


@given(st.sampled_from(Action), SCALARS, ANY, SCALARS)
def test_no_answer_breaks_the_mapper_and_what_comes_out_can_be_sent(
    action: Action, ok: Any, result: Any, error: Any
) -> None:
    outcome = map_result(action, ok, result, error)
    assert orjson.loads(orjson.dumps(outcome.value)) == outcome.value
    assert len(outcome.error) <= 700
    if outcome.error or outcome.value is None:
        assert outcome.value is None
        return
    if action in (Action.GET_PLAYERS, Action.LIST_BANS):
        players = [entry.get("player", entry) for entry in outcome.value]
        assert all(player["gameId"] and player["name"] for player in players)
    if action is Action.GET_PLAYER_LOCATION:
        assert all(math.isfinite(number) for number in outcome.value.values())
    if action is Action.LIST_ENTITIES:
        assert all(entity["type"] in ENTITY_TYPES for entity in outcome.value)
    if action in (Action.LIST_ITEMS, Action.GET_PLAYER_INVENTORY):
        assert all(type(item.get("quality", "")) is str and item["name"] for item in outcome.value)
    if action is Action.EXECUTE_CONSOLE_COMMAND:
        assert type(outcome.value["success"]) is bool and type(outcome.value["rawResult"]) is str
