"""How each generation of the mod reads operations and writes events and results."""

import math
from typing import Any

import orjson
import pytest

from services.sim.dayz.events import Channel, GameIncident, write_batch, write_event
from services.sim.dayz.generations import Generation, UnreadableAnswer, read_args, read_operations
from services.sim.dayz.results import write_error, write_result
from services.sim.dayz.world import Ban, Item, Player, RefusedOperation, make_player

FLAT, MIXED, SCANNER = Generation
ALL = tuple(Generation)
ANNA = make_player(1, "Anna")
TIME = "2018-07-01T12:00:00Z"


def poll_answer(args_json: str) -> bytes:
    return orjson.dumps({"operations": [{"operationId": "1", "action": "a", "argsJson": args_json}]})


# Reading


def test_a_poll_answer_is_read_completely() -> None:
    assert [operation.args_json for operation in read_operations(poll_answer('{"gameId":"7"}'))] == [
        '{"gameId":"7"}'
    ]
    assert read_operations(b'{"operations":[]}') == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"operations":[}',
        b'{"operations":[{"operationId":"1","action":"a"}]}',
        b'{"operations":[{"operationId":1,"action":"a","argsJson":"{}"}]}',
        b'{"operations":[{"operationId":"1","action":"a","argsJson":{}}]}',
    ],
)
def test_a_wrong_poll_answer_has_no_operations(body: bytes) -> None:
    with pytest.raises(UnreadableAnswer):
        read_operations(body)


def test_argsjson_is_cut_at_1023_bytes_on_reading() -> None:
    [operation] = read_operations(poll_answer("ж" * 1000))
    assert operation.args_json == "ж" * 511


FLAT_FORMS: list[tuple[str, str, dict[str, Any]]] = [
    ("getPlayer", '{"gameId":"7"}', {"gameId": "7"}),
    ("unbanPlayer", '{"gameId":"7"}', {"gameId": "7"}),
    ("sendMessage", '{"message":"hi","channel":"global"}', {"message": "hi", "gameId": ""}),
    (
        "sendMessage",
        '{"gameId":"7","recipientGameId":"7","message":"hi","channel":"global"}',
        {"message": "hi", "gameId": "7"},
    ),
    ("kickPlayer", '{"gameId":"7","reason":"x"}', {"gameId": "7", "reason": "x"}),
    ("banPlayer", '{"gameId":"7","reason":"x","durationSeconds":0}', {"gameId": "7", "reason": "x"}),
    (
        "teleportPlayer",
        '{"gameId":"7","x":1.5,"y":2,"z":-3.25}',
        {"gameId": "7", "x": 1.5, "y": 2.0, "z": -3.25},
    ),
    (
        "giveItem",
        '{"gameId":"7","item":"AKM","amount":2,"quality":""}',
        {"gameId": "7", "item": "AKM", "amount": 2, "quality": ""},
    ),
    ("executeConsoleCommand", '{"command":"say hi"}', {"command": "say hi"}),
    ("listItems", "{}", {}),
]


@pytest.mark.parametrize(("action", "args_json", "expected"), FLAT_FORMS)
@pytest.mark.parametrize("generation", ALL)
def test_every_generation_reads_the_one_flat_form(
    generation: Generation, action: str, args_json: str, expected: dict[str, Any]
) -> None:
    args = read_args(generation, action, args_json)
    assert args | expected == args


def test_a_ban_ends_by_duration_or_by_date() -> None:
    args_json = '{"gameId":"7","reason":"x","durationSeconds":60,"expiresAt":"2031-01-01T00:00:00Z"}'
    assert read_args(FLAT, "banPlayer", args_json)["durationSeconds"] == 60
    assert read_args(MIXED, "banPlayer", args_json)["durationSeconds"] == 60
    assert read_args(SCANNER, "banPlayer", args_json)["expiresAt"] == "2031-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("action", "args_json"),
    [
        ("kickPlayer", '{"player":{"gameId":"7"},"reason":"x"}'),
        ("teleportPlayer", '{"gameId":"7","x":"1","y":2,"z":3}'),
        ("banPlayer", '{"gameId":"7","reason":"x","durationSeconds":31536000000}'),
        ("banPlayer", '{"gameId":"7","reason":"x","durationSeconds":1.5}'),
        ("kickPlayer", '{"gameId":7,"reason":"x"}'),
        ("kickPlayer", '{"gameId":"7","reason":null}'),
        ("kickPlayer", '{"gameId":"7","rea'),
        ("kickPlayer", "[]"),
    ],
)
@pytest.mark.parametrize("generation", [FLAT, MIXED])
def test_a_flat_class_fails_on_anything_else(generation: Generation, action: str, args_json: str) -> None:
    with pytest.raises(UnreadableAnswer):
        read_args(generation, action, args_json)


@pytest.mark.parametrize(("generation", "fails"), [(FLAT, True), (MIXED, False), (SCANNER, False)])
@pytest.mark.parametrize("action", ["sendMessage", "giveItem"])
def test_only_a_generation_that_scans_reads_nested_arguments(
    generation: Generation, fails: bool, action: str
) -> None:
    args_json = '{"message":"hi","opts":{"recipient":{"gameId":"7"}},"item":"AKM"}'
    if fails:
        with pytest.raises(UnreadableAnswer):
            read_args(generation, action, args_json)
    else:
        assert read_args(generation, action, args_json)["gameId"] == "7"


@pytest.mark.parametrize(
    ("args_json", "expected"),
    [
        ('{"gameId": "7","reason":"x"}', {"gameId": "", "reason": "x"}),
        ('{"gameId":"7","player":{"gameId":"8"},"reason":"x"}', {"gameId": "7", "reason": "x"}),
        ('{"roles":[{"reason":"a"}],"gameId":"7","reason":"b"}', {"gameId": "7", "reason": "b"}),
        (r'{"gameId":"7","reason":"say \"no\""}', {"gameId": "7", "reason": "say \\"}),
        (r'{"gameId":"7","reason":"a\nb"}', {"gameId": "7", "reason": r"a\nb"}),
        ('{"gameId":"7","reason":"cut of', {"gameId": "7", "reason": "cut of"}),
    ],
)
def test_the_scanner_searches_and_unescapes_nothing(args_json: str, expected: dict[str, Any]) -> None:
    assert read_args(SCANNER, "kickPlayer", args_json) == expected


# Writing


def happenings(player: Player = ANNA) -> list[GameIncident]:
    return [
        GameIncident("player-connected", player),
        GameIncident("player-disconnected", player),
        GameIncident("chat-message", player, text="hello", channel=Channel.GLOBAL),
        GameIncident("player-death", player, make_player(2, "Ben"), weapon="AKM"),
        GameIncident("entity-killed", player, weapon="AKM", entity="Bear"),
        GameIncident("log", text="started"),
    ]


@pytest.mark.parametrize("generation", ALL)
def test_plain_events_are_valid_json(generation: Generation) -> None:
    batch = write_batch([write_event(generation, incident, TIME) for incident in happenings()])
    events = orjson.loads(batch)["events"]
    assert [event["type"] for event in events] == [incident.type for incident in happenings()]


def event_of(generation: Generation, number: int) -> dict[str, Any]:
    event: dict[str, Any] = orjson.loads(write_event(generation, happenings()[number], TIME))
    return event


def test_the_flat_generation_writes_every_field_whatever_the_type() -> None:
    keys = {tuple(event_of(FLAT, number)) for number in range(6)}
    assert len(keys) == 1
    log = event_of(FLAT, 5)
    assert (log["msg"], log["raw"], log["player"], log["attacker"], log["channel"]) == (
        "",
        "started",
        None,
        {},
        "",
    )
    assert event_of(FLAT, 2)["channel"] == 256
    assert event_of(FLAT, 3)["weapon"] == "AKM"
    assert event_of(FLAT, 3)["player"]["ping"] == "45"


def test_a_disconnect_has_only_a_part_of_the_identity() -> None:
    bis_id = ANNA.bis_id.rstrip("=")
    flat = event_of(FLAT, 1)["player"]
    assert (flat["gameId"], flat["name"], flat["steamId"]) == ("", "", int(ANNA.game_id))
    assert event_of(MIXED, 1)["player"] == {"gameId": bis_id, "name": "", "platformId": f"dayz:{bis_id}"}
    assert event_of(SCANNER, 1)["player"]["gameId"] == ANNA.game_id


def test_the_newer_generations_put_the_weapon_of_a_death_into_msg() -> None:
    for generation in (MIXED, SCANNER):
        death = event_of(generation, 3)
        assert death["msg"] == "killed with AKM"
        assert "weapon" not in death
        assert death["attacker"]["name"] == "Ben"


@pytest.mark.parametrize(
    ("generation", "expected"),
    [
        (MIXED, b'"a\'b\\c\nd"'),
        (SCANNER, b'"a\'b\\\\c\nd"'),
        (FLAT, b'"a\\"b\\\\c\\nd"'),
    ],
)
def test_each_generation_escapes_text_in_its_own_way(generation: Generation, expected: bytes) -> None:
    assert expected in write_event(generation, GameIncident("log", text='a"b\\c\nd'), TIME)


def test_glued_positions_can_have_nan_and_exponents() -> None:
    player = make_player(3, "Carl")
    player.position = (math.nan, 1e6, 7500.25)
    written = write_event(MIXED, GameIncident("player-death", player), "")
    assert b'"position":{"x":nan,"y":1e+06,"z":7500.25}' in written


def result_of(generation: Generation, action: str, value: Any, args: dict[str, Any] | None = None) -> Any:
    body: dict[str, Any] = orjson.loads(write_result(generation, "op", action, args or {}, value))
    assert body["operationId"] == "op"
    assert body["ok"] in (True, 1)
    return body["result"]


REACHABLE = {"connectable": 1, "reason": ""}


@pytest.mark.parametrize(
    ("action", "value", "flat", "mixed", "scanner"),
    [
        ("testReachability", True, REACHABLE, REACHABLE, {"connectable": True}),
        ("getPlayers", [], {"players": []}, {"players": []}, []),
        ("getPlayerLocation", None, None, {"x": 0, "y": 0, "z": 0}, {"x": 0, "y": 0, "z": 0}),
        (
            "getPlayerInventory",
            [Item("Apple", 2)],
            {"items": [{"name": "Apple", "code": "Apple", "amount": "2", "quality": 0}]},
            [{"name": "Apple", "code": "Apple", "amount": 2, "quality": ""}],
            [{"name": "Apple", "code": "Apple", "amount": 2, "quality": ""}],
        ),
        (
            "listEntities",
            [("Bear", "Bear")],
            {"entities": [{"code": "Bear", "name": "Bear", "type": ""}]},
            [{"code": "Bear", "name": "Bear", "type": "hostile"}],
            [{"code": "Bear", "name": "Bear", "type": "entity"}],
        ),
        (
            "listBans",
            [Ban("7", "Anna", "x", 0, "")],
            {"bans": [{"player": {"gameId": "7", "name": "Anna"}, "reason": "x", "expiresAt": ""}]},
            {"bans": [{"player": {"gameId": "7", "name": "Anna"}, "reason": "x", "expiresAt": ""}]},
            [{"player": {"gameId": "7"}, "reason": "x", "expiresAt": ""}],
        ),
        ("kickPlayer", None, {}, {}, None),
    ],
)  # fmt: skip
def test_results_come_in_each_generations_shape(
    action: str, value: Any, flat: Any, mixed: Any, scanner: Any
) -> None:
    assert [result_of(generation, action, value) for generation in ALL] == [flat, mixed, scanner]


def test_an_offline_player_is_an_error_or_a_record() -> None:
    for generation in (FLAT, MIXED):
        with pytest.raises(RefusedOperation):
            write_result(generation, "op", "getPlayer", {"gameId": "7"}, None)
    record = result_of(SCANNER, "getPlayer", None, {"gameId": "7"})
    assert record == {"gameId": "7", "name": "7", "steamId": "7", "platformId": "steam:7", "online": False}


def test_only_the_serializer_escapes_newlines_in_error_texts() -> None:
    assert orjson.loads(write_error(FLAT, "op", 'a\n"b"'))["error"] == 'a\n"b"'
    assert (
        write_error(MIXED, "op", 'a\n"b"')
        == b'{"operationId":"op","ok":false,"result":null,"error":"a\n\'b\'"}'
    )
    assert write_error(SCANNER, "op", 'a\n"b"') == b'{"operationId":"op","ok":false,"error":"a\n\'b\'"}'


def test_a_player_is_the_same_person_in_every_run() -> None:
    one, again = make_player(5), make_player(5)
    assert one == again
    assert len(one.game_id) == 17 and len(one.bis_id) == 44 and one.bis_id.endswith("=")
