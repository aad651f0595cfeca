"""What the simulated Takaro accepts and refuses (protocol.md T1 to T14)."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.takaro_identify import identify_error
from tests.support.takaro_rules import conclude, event_error

PLAYER: dict[str, Any] = {"gameId": "1", "name": "Anna"}
POSITION = {"x": 1, "y": 2.5, "z": -3}
VOID = ("giveItem", "sendMessage", "teleportPlayer", "kickPlayer", "banPlayer", "unbanPlayer", "shutdown")
SHAPED = (
    "getPlayer",
    "getPlayers",
    "getPlayerLocation",
    "getPlayerInventory",
    "listItems",
    "listEntities",
    "listLocations",
    "listBans",
    "executeConsoleCommand",
    "testReachability",
    "getMapInfo",
    "getMapTile",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("log", {"msg": "x"}),
        ("log", {"msg": "", "timestamp": "2026-01-01T00:00:00Z"}),
        ("player-connected", {"player": PLAYER}),
        ("player-connected", {}),
        ("player-connected", {"player": {**PLAYER, "name": "", "platformId": None, "ping": 3.5}}),
        ("player-disconnected", {"player": {**PLAYER, "platformId": "dayz:a-b_c", "ip": "::1"}}),
        ("chat-message", {"channel": "whisper", "msg": "x", "player": PLAYER, "recipient": PLAYER}),
        ("chat-message", {"channel": "global"}),
        ("player-death", {"player": PLAYER, "attacker": None, "position": None, "msg": "fell"}),
        ("player-death", {"player": PLAYER, "attacker": PLAYER, "position": POSITION}),
        ("player-death", {"player": PLAYER, "position": {**POSITION, "dimension": "up"}}),
        ("entity-killed", {"player": PLAYER, "entity": "Bear", "weapon": ""}),
    ],
)
def test_valid_events_are_taken(kind: str, data: Any) -> None:
    assert event_error({"type": kind, "data": data}) is None


@pytest.mark.parametrize(
    ("kind", "data", "complaint"),
    [
        ("log", {}, "msg is missing"),
        ("log", {"msg": None}, "msg must not be null"),
        ("log", {"msg": 1}, "msg must be a string"),
        ("log", {"msg": "x", "raw": "x"}, "raw should not exist"),
        ("log", {"msg": "x", "timestamp": ""}, "timestamp"),
        ("log", None, "must be an object"),
        ("player-connected", {"player": None}, "player must not be null"),
        ("player-connected", {"player": {"gameId": "1"}}, "name is missing"),
        ("player-connected", {"player": {**PLAYER, "gameId": 1}}, "gameId must be a string"),
        ("player-connected", {"player": {**PLAYER, "online": True}}, "online should not exist"),
        ("player-connected", {"player": {**PLAYER, "ping": "45"}}, "ping must be a number"),
        ("player-connected", {"player": {**PLAYER, "ping": True}}, "ping must be a number"),
        ("player-connected", {"player": {**PLAYER, "platformId": ""}}, "platformId"),
        ("player-connected", {"player": {**PLAYER, "platformId": "dayz:ab="}}, "platformId"),
        ("player-connected", {"player": {**PLAYER, "platformId": "dayz:ab\n"}}, "platformId"),
        ("player-connected", {"player": {**PLAYER, "steamId": 7}}, "steamId must be a string"),
        ("player-disconnected", {"player": {"gameId": "1", "name": None}}, "name must not be null"),
        ("chat-message", {"channel": "direct", "msg": "x"}, "channel must be one of"),
        ("chat-message", {"msg": "x"}, "channel is missing"),
        ("chat-message", {"channel": "global", "msg": "x", "player": None}, "player must not be null"),
        ("player-death", {"player": PLAYER, "weapon": "AKM"}, "weapon should not exist"),
        ("player-death", {"player": PLAYER, "position": {"x": 1, "y": 2}}, "z is missing"),
        ("player-death", {"player": PLAYER, "position": {**POSITION, "x": "1"}}, "x must be a number"),
        ("player-death", {"player": PLAYER, "attacker": {}}, "gameId is missing"),
        ("entity-killed", {"player": PLAYER, "entity": "Bear"}, "weapon is missing"),
        ("entity-killed", {"player": PLAYER, "weapon": "", "entity": None}, "entity must not be null"),
        ("entity-killed", {"player": PLAYER, "entity": "B", "weapon": "", "position": POSITION}, "position"),
        ("player-jumped", {}, "Unknown event type"),
        (["log"], {"msg": "x"}, "Unknown event type"),
    ],
)
def test_invalid_events_are_refused_by_field(kind: Any, data: Any, complaint: str) -> None:
    text = event_error({"type": kind, "data": data})
    assert text is not None
    assert complaint in text


@given(st.sampled_from([*SHAPED, *VOID, "unknown"]), JSON)
def test_no_json_makes_the_rules_raise(action: str, value: Any) -> None:
    event_error(value)
    event_error({"type": "chat-message", "data": value})
    identify_error(value, (), ())
    conclude(action, value)
    conclude(action, [value])


@pytest.mark.parametrize(
    "payload", [None, {}, [], "done", {"message": "failed"}, {"error": ""}, {"ok": False}]
)
@pytest.mark.parametrize("action", VOID)
def test_actions_without_a_shape_call_anything_success(action: str, payload: Any) -> None:
    assert conclude(action, payload) == (payload, None)


@pytest.mark.parametrize("action", VOID)
def test_only_a_non_empty_error_key_in_the_payload_fails_them(action: str) -> None:
    assert conclude(action, {"error": "offline"}) == (None, "Error from server: offline")


@pytest.mark.parametrize("action", SHAPED)
def test_null_is_refused_where_there_is_a_shape(action: str) -> None:
    value, error = conclude(action, None)
    assert value is None
    assert error is not None and "bad data" in error


def test_a_console_command_may_carry_its_fields_and_an_error() -> None:
    answer = {"rawResult": "", "success": False, "error": "no such command"}
    assert conclude("executeConsoleCommand", answer) == (None, "Error from server: no such command")


MAP = {"mapBlockSize": 16, "maxZoom": 4, "mapSizeX": 1, "mapSizeY": 1, "mapSizeZ": 1}
ITEM = {"code": "AKM", "name": "KA-M"}
PLACE = {"position": POSITION, "name": "Cherno"}
BAN = {"player": PLAYER, "reason": "cheating"}


@pytest.mark.parametrize(
    ("action", "payload"),
    [
        ("getPlayer", {**PLAYER, "online": True, "platformId": None}),
        ("getPlayers", []),
        ("getPlayers", [{**PLAYER, "extra": 1}]),
        ("getPlayerLocation", POSITION),
        ("getPlayerInventory", [{**ITEM, "amount": 2, "quality": "5"}]),
        ("listItems", [{**ITEM, "description": None}]),
        ("listEntities", [{"code": "Bear", "name": "Bear", "type": "hostile", "metadata": {}}]),
        ("listLocations", [{**PLACE, "radius": 5}, {**PLACE, "sizeX": 1, "sizeZ": 1, "code": "c"}]),
        ("listBans", [BAN, {**BAN, "expiresAt": None}, {**BAN, "expiresAt": "2031-12-31T23:59:59Z"}]),
        ("executeConsoleCommand", {"rawResult": "ok", "success": True, "errorMessage": None}),
        ("testReachability", {"connectable": False, "reason": "asleep"}),
        ("getMapInfo", {"enabled": False, **MAP}),
        ("getMapTile", "aGVsbG8="),
    ],
)
def test_answers_of_the_right_shape_are_taken(action: str, payload: Any) -> None:
    assert conclude(action, payload) == (payload, None)


@pytest.mark.parametrize(
    ("action", "payload"),
    [
        ("getPlayer", {"gameId": "1"}),
        ("getPlayer", {"error": "offline"}),
        ("getPlayers", {"players": []}),
        ("getPlayers", [{**PLAYER, "ping": "45"}]),
        ("getPlayerLocation", {"x": None, "y": 1, "z": 1}),
        ("getPlayerInventory", [{**ITEM, "quality": 5}]),
        ("getPlayerInventory", [{**ITEM, "amount": "1"}]),
        ("listItems", {"items": []}),
        ("listItems", [{"code": "AKM"}]),
        ("listEntities", [{"code": "Bear", "name": "Bear", "type": "entity"}]),
        ("listLocations", [PLACE]),
        ("listLocations", [{**PLACE, "radius": 5, "sizeX": 0, "sizeZ": 0}]),
        ("listBans", [{"player": {"gameId": "1"}, "reason": "x"}]),
        ("listBans", [{**BAN, "expiresAt": ""}]),
        ("listBans", [{"player": PLAYER}]),
        ("executeConsoleCommand", {"rawResult": "ok", "success": 1}),
        ("testReachability", {"connectable": 1}),
        ("getMapInfo", {"enabled": False}),
        ("getMapTile", {"tile": "x"}),
    ],
)
def test_answers_of_another_shape_are_bad_data(action: str, payload: Any) -> None:
    value, error = conclude(action, payload)
    assert value is None
    assert error is not None and "bad data" in error


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (None, "No payload"),
        ({"registrationToken": "r"}, "No identityToken"),
        ({"identityToken": "new", "registrationToken": ""}, "No registrationToken"),
        ({"identityToken": "new", "registrationToken": "other"}, "Invalid registrationToken"),
        ({"identityToken": 5, "registrationToken": "r"}, "Invalid identityToken"),
        ({"identityToken": "new", "registrationToken": "r", "name": "ab"}, "status code 400"),
        ({"identityToken": "n" * 51, "registrationToken": "r"}, "status code 400"),
        ({"identityToken": "new", "registrationToken": "r", "name": "taken"}, "status code 409"),
    ],
)
def test_identifies_are_refused_with_a_reason(payload: Any, complaint: str) -> None:
    assert complaint in (identify_error(payload, {"r"}, {"old"}, {"taken"}) or {})["message"]


@pytest.mark.parametrize(
    "payload",
    [
        {"identityToken": "old", "name": "x"},
        {"identityToken": "old", "name": "taken"},
        {"identityToken": "new"},
    ],
)
def test_the_name_matters_at_creation_only(payload: Any) -> None:
    assert identify_error({**payload, "registrationToken": "r"}, {"r"}, {"old"}, {"taken"}) is None


def test_the_rules_work_on_frames_from_the_socket() -> None:
    assert event_error(orjson.loads('{"type":"log","data":{"msg":"\\ud83e\\udddf"}}')) is None
