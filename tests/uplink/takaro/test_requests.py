"""Takaro's arguments: every known shape becomes the canonical one, any other a BadRequest with the field."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.protocol.vocabulary import Action
from services.uplink.takaro.requests import ARGUMENTS, BadRequest, read_request

STEAM = "76561198000000001"
ROW: dict[str, Any] = {
    "id": "5f1b6d1e-0000-4000-8000-000000000001",
    "createdAt": "2026-01-03T10:00:00.000Z",
    "gameServerId": "5f1b6d1e-0000-4000-8000-000000000002",
    "gameId": STEAM,
    "name": 'Sur "vivor"',
    "positionX": 1.5,
    "online": True,
    "player": {"id": "5f1b6d1e-0000-4000-8000-000000000003", "name": "Survivor", "steamId": STEAM},
    "inventory": [{"code": f"Item{n}", "name": f"Item {n}", "amount": n} for n in range(100)],
    "roles": [{"role": {"name": "Player", "permissions": [{"permissionId": str(n)} for n in range(50)]}}],
}
"""A player row as Takaro sends it: several KB, and only `gameId` is meant."""

NAMED = {"gameId": STEAM}

ACCEPTED: list[tuple[Action, Any, dict[str, Any]]] = [
    (Action.GET_PLAYER, {"gameId": STEAM}, NAMED),
    (Action.GET_PLAYER, {"gameId": int(STEAM)}, NAMED),
    (Action.GET_PLAYER, [{"gameId": STEAM}], NAMED),
    (Action.GET_PLAYER, ROW, NAMED),
    (Action.GET_PLAYER_LOCATION, {"gameId": f" {STEAM} "}, NAMED),
    (Action.GET_PLAYER_INVENTORY, {"player": NAMED}, NAMED),
    (Action.UNBAN_PLAYER, ROW, NAMED),
    (Action.UNBAN_PLAYER, {"gameId": STEAM}, NAMED),
    (Action.KICK_PLAYER, {"player": ROW, "reason": "rude"}, NAMED | {"reason": "rude"}),
    (Action.KICK_PLAYER, {"player": NAMED}, NAMED | {"reason": ""}),
    (Action.KICK_PLAYER, {"player": STEAM, "reason": None}, NAMED | {"reason": ""}),
    (Action.EXECUTE_CONSOLE_COMMAND, {"command": "say Hi"}, {"command": "say Hi"}),
    (Action.SEND_MESSAGE, {"message": "hi"}, {"message": "hi"}),
    (Action.SEND_MESSAGE, {"message": "hi", "opts": {}}, {"message": "hi"}),
    (Action.SEND_MESSAGE, {"message": "hi", "opts": None}, {"message": "hi"}),
    (Action.SEND_MESSAGE, {"message": "hi", "opts": {"recipient": None}}, {"message": "hi"}),
    (Action.SEND_MESSAGE, {"message": "hi", "opts": {"senderNameOverride": ""}}, {"message": "hi"}),
    (
        Action.SEND_MESSAGE,
        {"message": "hi", "opts": {"recipient": NAMED, "senderNameOverride": "Shop"}},
        {"message": "hi", "recipient": STEAM, "senderName": "Shop"},
    ),
    (
        Action.SEND_MESSAGE,
        {"message": "hi", "opts": {"recipient": ROW}},
        {"message": "hi", "recipient": STEAM},
    ),
    (
        Action.GIVE_ITEM,
        {"player": NAMED, "item": "Apple"},
        NAMED | {"item": "Apple", "amount": 1, "quality": ""},
    ),
    (
        Action.GIVE_ITEM,
        {"player": ROW, "item": "baseball_bat", "amount": 3.0, "quality": "5"},
        NAMED | {"item": "baseball_bat", "amount": 3, "quality": "5"},
    ),
    (
        Action.GIVE_ITEM,
        {"gameId": STEAM, "item": {"code": "Apple", "name": "An apple"}, "amount": "2", "quality": 7},
        NAMED | {"item": "Apple", "amount": 2, "quality": "7"},
    ),
    (
        Action.GIVE_ITEM,
        {"player": NAMED, "item": "Apple", "amount": None, "quality": None},
        NAMED | {"item": "Apple", "amount": 1, "quality": ""},
    ),
    (
        Action.TELEPORT_PLAYER,
        {"player": ROW, "x": 123.45, "y": 67, "z": "-10.5", "dimension": "nether"},
        NAMED | {"x": 123.45, "y": 67.0, "z": -10.5},
    ),
]

BANS: list[tuple[Any, str | None]] = [
    (None, None),
    ("", None),
    ("3021-01-01T00:00:00.000Z", None),
    ("2500-01-01T00:00:00Z", None),
    ("9999-12-31T23:59:59-12:00", None),
    ("2031-12-31T23:59:59Z", "2031-12-31T23:59:59Z"),
    ("2031-12-31T23:59:59.123Z", "2031-12-31T23:59:59Z"),
    ("2031-12-31T23:59:59+02:00", "2031-12-31T21:59:59Z"),
    ("2031-12-31T23:59:59", "2031-12-31T23:59:59Z"),
    ("2031-12-31", "2031-12-31T00:00:00Z"),
    ("2030-1-5T1:2:0Z", "2030-01-05T01:02:00Z"),
    (1893805320, "2030-01-05T01:02:00Z"),
    ("1893805320", "2030-01-05T01:02:00Z"),
]

REFUSED: list[tuple[str, Any, str]] = [
    ("dance", {}, "unknown action"),
    ("", None, "unknown action"),
    ("getPlayer", {}, "gameId is missing"),
    ("getPlayer", "", "gameId is missing"),
    ("getPlayer", {"gameId": ""}, "gameId is missing"),
    ("getPlayer", {"gameId": "  "}, "gameId is missing"),
    ("getPlayer", {"gameId": True}, "gameId is missing"),
    ("getPlayer", {"gameId": {"id": 1}}, "gameId is missing"),
    ("getPlayer", {"gameId": "1" * 65}, "gameId is longer"),
    ("getPlayer", "{broken", "args is not valid JSON"),
    ("getPlayer", "7", "args must be an object"),
    ("getPlayer", [{}, {}], "args must be an object"),
    ("kickPlayer", {"player": None, "reason": "x"}, "player.gameId is missing"),
    ("kickPlayer", {"player": {"name": "x"}}, "player.gameId is missing"),
    ("kickPlayer", {"player": NAMED, "reason": ["x"]}, "reason must be text"),
    ("sendMessage", {}, "message is missing"),
    ("sendMessage", {"message": ""}, "message is missing"),
    ("sendMessage", {"message": " \n"}, "message is blank"),
    ("sendMessage", {"message": 7}, "message must be text"),
    ("sendMessage", {"message": "hi", "opts": "x"}, "opts must be an object"),
    ("sendMessage", {"message": "hi", "opts": {"recipient": {}}}, "opts.recipient.gameId is missing"),
    ("sendMessage", {"message": "hi", "opts": {"recipient": ""}}, "opts.recipient.gameId is missing"),
    ("sendMessage", {"message": "hi", "opts": {"senderNameOverride": 7}}, "senderNameOverride must be text"),
    ("executeConsoleCommand", {}, "command is missing"),
    ("giveItem", {"player": NAMED}, "item is missing"),
    ("giveItem", {"player": NAMED, "item": {"name": "Apple"}}, "item.code is missing"),
    ("giveItem", {"item": "Apple"}, "gameId is missing"),
    ("giveItem", {"player": NAMED, "item": "Apple", "amount": 0}, "amount must be a whole number"),
    ("giveItem", {"player": NAMED, "item": "Apple", "amount": 1.5}, "amount must be a whole number"),
    ("giveItem", {"player": NAMED, "item": "Apple", "amount": "many"}, "amount must be a number"),
    ("giveItem", {"player": NAMED, "item": "Apple", "amount": "nan"}, "amount must be a whole number"),
    ("giveItem", {"player": NAMED, "item": "Apple", "amount": "inf"}, "amount must be a whole number"),
    ("giveItem", {"player": NAMED, "item": "Apple", "amount": 2**31}, "amount must be a whole number"),
    ("giveItem", {"player": NAMED, "item": "Apple", "amount": True}, "amount must be a number"),
    ("giveItem", {"player": NAMED, "item": "Apple", "quality": True}, "quality must be text"),
    ("teleportPlayer", {"player": NAMED, "x": 1, "y": 2}, "z is missing"),
    ("teleportPlayer", {"player": NAMED, "x": "", "y": 2, "z": 3}, "x is missing"),
    ("teleportPlayer", {"player": NAMED, "x": 1, "y": "up", "z": 3}, "y must be a number"),
    ("teleportPlayer", {"player": NAMED, "x": 1, "y": [], "z": 3}, "y must be a number"),
    ("teleportPlayer", {"player": NAMED, "x": "nan", "y": 2, "z": 3}, "x must be within"),
    ("teleportPlayer", {"player": NAMED, "x": 1, "y": 2, "z": "-inf"}, "z must be within"),
    ("teleportPlayer", {"player": NAMED, "x": 1, "y": 2, "z": 1e300}, "z must be within"),
    ("teleportPlayer", {"player": NAMED, "x": 10**400, "y": 2, "z": 3}, "x must be a number"),
    ("banPlayer", {"player": NAMED, "expiresAt": "tomorrow"}, "expiresAt must be a date, in ISO 8601"),
    ("banPlayer", {"player": NAMED, "expiresAt": {}}, "expiresAt must be a date"),
    ("banPlayer", {"player": NAMED, "expiresAt": 3600}, "expiresAt must be a date"),
    ("banPlayer", {"player": NAMED, "expiresAt": "0001-01-01T00:00:00+10:00"}, "expiresAt must be"),
    ("banPlayer", {"reason": "x"}, "gameId is missing"),
]

TAKES_NOTHING = [
    Action.GET_PLAYERS,
    Action.LIST_ITEMS,
    Action.LIST_ENTITIES,
    Action.LIST_LOCATIONS,
    Action.LIST_BANS,
    Action.TEST_REACHABILITY,
    Action.GET_MAP_INFO,
    Action.GET_MAP_TILE,
    Action.SHUTDOWN,
]


@pytest.mark.parametrize(("action", "args", "canonical"), ACCEPTED)
def test_every_shape_of_arguments_becomes_the_canonical_one(
    action: Action, args: Any, canonical: dict[str, Any]
) -> None:
    assert read_request(action.value, args) == (action, canonical)
    assert read_request(action.value, json.dumps(args)) == (action, canonical)


@pytest.mark.parametrize("action", TAKES_NOTHING)
@pytest.mark.parametrize(
    "args", [None, "", " ", "{}", "[]", "null", {}, [], '{"x":1,"y":2,"z":3}', {"extra": 1}]
)
def test_an_action_without_arguments_takes_any_form_of_none(action: Action, args: Any) -> None:
    assert read_request(action.value, args) == (action, {})


@pytest.mark.parametrize(("expires_at", "canonical"), BANS)
def test_a_ban_has_an_end_in_utc_or_is_permanent(expires_at: Any, canonical: str | None) -> None:
    expected = {"gameId": STEAM, "reason": "x"} | ({"expiresAt": canonical} if canonical else {})
    args = {"player": ROW, "reason": "x", "expiresAt": expires_at}
    assert read_request("banPlayer", json.dumps(args)) == (Action.BAN_PLAYER, expected)


def test_a_ban_without_a_date_is_permanent() -> None:
    assert read_request("banPlayer", {"player": NAMED, "reason": "x"})[1] == NAMED | {"reason": "x"}


@pytest.mark.parametrize(("action", "args", "text"), REFUSED)
def test_a_bad_request_names_the_field(action: str, args: Any, text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_request(action, args)
    assert str(caught.value).startswith(text)


def test_an_unknown_action_is_quoted_short() -> None:
    with pytest.raises(BadRequest) as caught:
        read_request("x" * 10_000, {})
    assert len(str(caught.value)) < 100


def test_every_action_has_its_arguments_and_a_case_here() -> None:
    assert set(ARGUMENTS) == set(Action)
    assert {case[0] for case in ACCEPTED} | set(TAKES_NOTHING) | {Action.BAN_PLAYER} == set(Action)


def test_a_row_of_several_kilobytes_is_reduced_to_its_id() -> None:
    assert len(json.dumps(ROW)) > 4000
    for action in (Action.KICK_PLAYER, Action.BAN_PLAYER):
        _, args = read_request(action.value, json.dumps({"player": ROW, "reason": "x"}))
        assert len(json.dumps(args)) < 100


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.just(STEAM),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["gameId", "code", "recipient", "player"]), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = ["gameId", "player", "item", "amount", "quality", "x", "y", "z", "message", "opts", "command"]
ARGS = st.dictionaries(st.sampled_from([*FIELDS, "reason", "expiresAt"]), VALUES) | VALUES


@given(st.sampled_from([*Action]).map(str) | st.text(), ARGS | ARGS.map(json.dumps) | st.text())
def test_any_request_is_read_or_is_a_bad_request(action: str, args: Any) -> None:
    try:
        known, canonical = read_request(action, args)
    except BadRequest as refused:
        assert str(refused)
    else:
        json.dumps(canonical, allow_nan=False)
        assert read_request(known.value, canonical)[1].keys() <= canonical.keys()
