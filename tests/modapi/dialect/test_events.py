"""The six events, as each generation of the mod writes them, become what Takaro takes."""

import math
import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.modapi.dialect.dead import Reason
from services.modapi.dialect.events import EVENT_MAPPERS, channel, map_event
from services.modapi.dialect.roster import Roster
from services.relay.protocol.vocabulary import EventType
from tests.support.rosters import saved

NOW = "2026-05-01T12:00:00.000Z"
STEAM = "76561198000000001"
KILLER = "76561198000000002"
BIS = "K" * 43
ANN = {"gameId": STEAM, "name": "Ann", "steamId": STEAM}
ANN_FULL = {**ANN, "platformId": f"dayz:{BIS}"}
BOB = {"gameId": KILLER, "name": "Bob", "steamId": KILLER}
STRANGER = {"gameId": "player-7", "name": "Stranger", "steamId": "", "platformId": ""}

# The oldest mods write every field of the class, whatever the type.
UNSET: dict[str, Any] = {
    "timestamp": "2011-10-10T08:05:00Z",
    "msg": "",
    "channel": "",
    "player": None,
    "recipient": None,
    "attacker": {},
    "position": None,
    "weapon": "",
    "entity": "",
    "raw": "",
}
FLAT_ANN = {**ANN, "ip": "", "ping": "42"}
NOBODY = {"gameId": "", "name": "", "steamId": "", "ip": "", "ping": 0}
PLACE = {"x": 1.5, "y": 200, "z": -3.25}


def mapped(raw: dict[str, Any], roster: Roster | None = None) -> Any:
    return map_event(raw, Roster() if roster is None else roster, NOW)


@pytest.mark.parametrize(
    ("raw", "data"),
    [
        pytest.param(UNSET | {"type": "log", "raw": "a line"}, {"msg": "a line"}, id="log, flat"),
        pytest.param({"type": "log", "msg": "a line", "timestamp": ""}, {"msg": "a line"}, id="log, joined"),
        pytest.param({"type": "log", "msg": "a\n\x00line"}, {"msg": "a  line"}, id="log, control characters"),
        pytest.param(
            UNSET | {"type": "player-connected", "player": FLAT_ANN},
            {"player": {**ANN, "ping": 42}},
            id="connected, flat",
        ),
        pytest.param(
            {"type": "player-connected", "player": {**ANN_FULL, "ping": 42}},
            {"player": {**ANN_FULL, "ping": 42}},
            id="connected, joined",
        ),
        pytest.param(
            {"type": "player-connected", "player": {"gameId": int(STEAM), "name": "Ann", "online": 1}},
            {"player": ANN},
            id="connected, id as a number",
        ),
        pytest.param(
            {"type": "player-connected", "player": {**ANN, "platformId": BIS + "=", "ip": "10.0.0.1:2304"}},
            {"player": {**ANN_FULL, "ip": "10.0.0.1"}},
            id="connected, bare BIS id and a port",
        ),
        pytest.param(
            {"type": "player-disconnected", "player": {**ANN, "platformId": "", "epicOnlineServicesId": ""}},
            {"player": ANN},
            id="disconnected, empty ids",
        ),
        pytest.param(
            UNSET | {"type": "chat-message", "player": FLAT_ANN, "channel": 256, "msg": "hi"},
            {"player": {**ANN, "ping": 42}, "channel": "global", "msg": "hi"},
            id="chat, flat",
        ),
        pytest.param(
            {"type": "chat-message", "player": ANN, "channel": "direct", "msg": "/help"},
            {"player": ANN, "channel": "global", "msg": "/help"},
            id="chat, joined",
        ),
        pytest.param(
            {"type": "chat-message", "player": ANN, "recipient": BOB, "channel": "whisper", "msg": "hi"},
            {"player": ANN, "recipient": BOB, "channel": "whisper", "msg": "hi"},
            id="chat, whisper",
        ),
        pytest.param(
            {"type": "chat-message", "player": {"gameId": "", "name": "Ann"}, "msg": "hi"},
            {"channel": "global", "msg": "hi"},
            id="chat, only the name is known",
        ),
        pytest.param(
            UNSET
            | {"type": "player-death", "player": ANN, "attacker": BOB, "position": PLACE, "weapon": "M4A1"},
            {"player": ANN, "attacker": BOB, "position": PLACE, "msg": "killed with M4A1"},
            id="death, flat",
        ),
        pytest.param(
            {"type": "player-death", "player": ANN, "position": PLACE, "msg": "killed with M4A1"},
            {"player": ANN, "position": PLACE, "msg": "killed with M4A1"},
            id="death, joined",
        ),
        pytest.param(
            {"type": "player-death", "player": ANN, "msg": "killed with M4A1", "weapon": "M4A1"},
            {"player": ANN, "msg": "killed with M4A1"},
            id="death, weapon twice",
        ),
        pytest.param(
            {"type": "player-death", "player": ANN, "msg": "fell", "weapon": "M4A1"},
            {"player": ANN, "msg": "fell, killed with M4A1"},
            id="death, message and weapon",
        ),
        pytest.param(
            {"type": "player-death", "player": ANN, "attacker": NOBODY, "position": {}},
            {"player": ANN},
            id="death, attacker and position not set",
        ),
        pytest.param(
            {"type": "player-death", "player": ANN, "attacker": ANN},
            {"player": ANN},
            id="death by one's own hand",
        ),
        pytest.param(
            {"type": "player-death", "player": ANN, "position": ["1.5", "2e2", -3.25]},
            {"player": ANN, "position": PLACE},
            id="death, position as a vector of strings",
        ),
        pytest.param(
            UNSET | {"type": "entity-killed", "player": ANN, "entity": "ZmbM_A", "position": PLACE},
            {"player": ANN, "entity": "ZmbM_A", "weapon": ""},
            id="entity killed, flat",
        ),
        pytest.param(
            {"type": "entity-killed", "player": ANN, "entity": "Wolf", "weapon": "M4A1"},
            {"player": ANN, "entity": "Wolf", "weapon": "M4A1"},
            id="entity killed, joined",
        ),
        pytest.param(
            {"type": "entity_killed", "player": ANN, "entity": "W"},
            {"player": ANN, "entity": "W", "weapon": ""},
        ),
        pytest.param({"type": "PlayerConnected", "player": ANN}, {"player": ANN}),
        pytest.param({"type": "LOG", "msg": "a"}, {"msg": "a"}),
    ],
)
def test_each_way_to_write_an_event_becomes_what_takaro_takes(
    raw: dict[str, Any], data: dict[str, Any]
) -> None:
    event = mapped(raw)
    assert event["type"] in set(EventType)
    assert event["data"] == {**data, "timestamp": NOW}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({}, "unknown-type"),
        ({"type": None}, "unknown-type"),
        ({"type": ["log"]}, "unknown-type"),
        ({"type": "server-started"}, "unknown-type"),
        ({"type": "log"}, "empty-message"),
        ({"type": "log", "msg": " \n", "raw": None}, "empty-message"),
        ({"type": "chat-message", "player": ANN, "msg": ""}, "empty-message"),
        ({"type": "chat-message", "player": ANN, "msg": "\u200b\u3164"}, "empty-message"),
        ({"type": "player-connected"}, "no-player"),
        ({"type": "player-connected", "player": "Ann"}, "no-player"),
        ({"type": "player-disconnected", "player": NOBODY}, "no-player"),
        ({"type": "player-disconnected", "player": {"gameId": BIS, "name": ""}}, "unknown-player"),
        ({"type": "player-death", "player": {"gameId": "", "platformId": f"dayz:{BIS}"}}, "unknown-player"),
        ({"type": "player-connected", "player": STRANGER}, "no-platform-id"),
        ({"type": "player-disconnected", "player": STRANGER}, "no-platform-id"),
        ({"type": "player-death", "player": STRANGER}, "no-platform-id"),
        ({"type": "entity-killed", "player": STRANGER, "entity": "Wolf"}, "no-platform-id"),
        ({"type": "entity-killed", "player": ANN, "entity": ""}, "no-entity"),
        ({"type": "entity-killed", "player": None, "entity": "Wolf"}, "no-player"),
    ],
)
def test_an_event_that_cannot_become_valid_is_dead_with_its_reason(raw: dict[str, Any], reason: str) -> None:
    letter = mapped(raw)
    assert letter.reason == reason
    assert letter.detail
    assert orjson.loads(letter.raw) == raw


@pytest.mark.parametrize(
    ("raw", "role"),
    [
        ({"type": "chat-message", "player": STRANGER, "msg": "hi"}, "player"),
        ({"type": "chat-message", "player": ANN, "recipient": STRANGER, "msg": "hi"}, "recipient"),
        ({"type": "player-death", "player": ANN, "attacker": STRANGER}, "attacker"),
    ],
)
def test_an_event_that_can_do_without_a_player_goes_without_one_who_has_no_platform_id(
    raw: dict[str, Any], role: str
) -> None:
    assert role not in mapped(raw)["data"]


def test_a_player_without_a_platform_id_in_this_event_goes_out_with_the_one_that_is_known() -> None:
    roster = Roster()
    roster.complete({**STRANGER, "platformId": "xbox:42"})
    event = mapped({"type": "player-connected", "player": STRANGER}, roster)
    assert event["data"]["player"]["platformId"] == "xbox:42"


@pytest.mark.parametrize("sender", [{}, {"player": None}, {"player": {}}, {"player": ""}, {"player": NOBODY}])
def test_a_chat_line_without_a_sender_is_delivered_as_a_system_message(sender: dict[str, Any]) -> None:
    line = {"type": "chat-message", "channel": "system", "msg": "Restart in 5 minutes", **sender}
    assert mapped(line)["data"] == {"channel": "global", "msg": "Restart in 5 minutes", "timestamp": NOW}


def test_a_disconnect_has_the_id_of_the_connect() -> None:
    roster = Roster()
    mapped({"type": "player-connected", "player": ANN_FULL}, roster)
    gone = {"type": "player-disconnected", "player": {"gameId": BIS, "name": "", "platformId": f"dayz:{BIS}"}}
    assert mapped(gone, roster)["data"]["player"] == ANN_FULL


MALLORY = "76561198000000003"


@pytest.mark.parametrize(
    "forged",
    [
        {"player": {"gameId": STEAM, "name": "x", "steamId": MALLORY}},
        {"player": {"gameId": [MALLORY, STEAM], "name": "x", "steamId": MALLORY}},
        {"player": {"gameId": MALLORY, "GameID": STEAM}},
        {"player": {"gameId": MALLORY, "steamId": MALLORY, "platformId": f"dayz:{BIS}"}},
        {"player": [{"gameId": MALLORY}, {"gameId": STEAM}]},
        {"player": {"gameId": STEAM}, "gameId": MALLORY},
        {"player": {"gameId": STEAM}, "x": {"steamId": MALLORY}},
        {"player": {"gameId": STEAM, "x": {"steamId": MALLORY}}},
    ],
)
def test_a_player_with_a_contradictory_record_is_not_named(forged: dict[str, Any]) -> None:
    roster = Roster()
    roster.complete(ANN_FULL)
    saved(roster)
    chat = mapped({"type": "chat-message", "msg": "/ban Bob", **forged}, roster)
    assert chat["data"] == {"channel": "global", "msg": "/ban Bob", "timestamp": NOW}
    for event_type in ("player-connected", "player-disconnected", "player-death", "entity-killed"):
        letter = mapped({"type": event_type, "entity": "Wolf", **forged}, roster)
        assert letter.reason == "contradictory-player"
    assert saved(roster) == {}


def test_an_attacker_or_recipient_with_a_contradictory_record_is_left_out() -> None:
    roster = Roster()
    roster.complete(BOB)
    forged = {"gameId": KILLER, "steamId": MALLORY}
    death = mapped({"type": "player-death", "player": ANN, "attacker": forged}, roster)
    assert death["data"] == {"player": ANN, "timestamp": NOW}
    whisper = {"type": "chat-message", "player": ANN, "recipient": forged, "channel": "whisper", "msg": "hi"}
    assert "recipient" not in mapped(whisper, roster)["data"]


def test_only_a_whisper_has_a_recipient() -> None:
    chat = mapped({"type": "chat-message", "player": ANN, "recipient": BOB, "channel": "global", "msg": "hi"})
    assert "recipient" not in chat["data"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *[(name, "global") for name in ("global", "direct", "admin", "radio", "megaphone", "pas", "system")],
        *[(name, "global") for name in ("battleye", "transport", "vehicle", "local", "Global", "what?", "")],
        *[(flag, "global") for flag in (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, -1, 7.0, "4", 260)],
        (None, "global"),
        ([], "global"),
        (True, "global"),
        *[(name, "team") for name in ("team", "party", "Team", "TEAM", "512", "516")],
        *[(flag, "team") for flag in (512, 512 | 4, 512.0)],
        *[(name, "whisper") for name in ("whisper", "private", "Whisper")],
        ("friends", "friends"),
    ],
)
def test_a_chat_channel_is_one_of_takaros(written: Any, meant: str) -> None:
    assert channel(written) == meant


@pytest.mark.parametrize("bad", [math.nan, math.inf, "nan", "inf", "", None, {}, True, "1_0", "x", 10**400])
def test_a_position_with_anything_but_three_numbers_is_left_out(bad: Any) -> None:
    death = {"type": "player-death", "player": ANN, "position": {"x": 1, "y": bad, "z": 3}}
    assert mapped(death)["data"] == {"player": ANN, "timestamp": NOW}


def test_every_event_of_takaros_has_a_mapper() -> None:
    assert set(EVENT_MAPPERS) == set(EventType)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = SCALARS | st.sampled_from([STEAM, KILLER, BIS, f"dayz:{BIS}", "Survivor", 0, 1, "1.5"])
PLAYERS = VALUES | st.dictionaries(st.sampled_from([*ANN_FULL, "ip", "ping", "online"]), VALUES, max_size=6)
POSITIONS = VALUES | st.fixed_dictionaries({axis: VALUES for axis in "xyz"}) | st.lists(VALUES, max_size=4)
RAW = st.fixed_dictionaries(
    {"type": st.sampled_from([*EventType, "x", "PLAYER_DEATH"]) | SCALARS},
    optional={
        **dict.fromkeys(("player", "attacker", "recipient"), PLAYERS),
        **dict.fromkeys(("msg", "raw", "channel", "weapon", "entity", "timestamp", "x"), VALUES),
        "position": POSITIONS,
    },
)
REQUIRED = {
    "log": {"msg"},
    "player-connected": {"player"},
    "player-disconnected": {"player"},
    "chat-message": {"channel", "msg"},
    "player-death": {"player"},
    "entity-killed": {"player", "entity", "weapon"},
}
OPTIONAL = {
    "chat-message": {"player", "recipient"},
    "player-death": {"attacker", "position"},
}


@given(RAW)
def test_any_event_becomes_valid_or_a_dead_letter(raw: dict[str, Any]) -> None:
    event = mapped(raw)
    if not isinstance(event, dict):
        assert event.reason in set(Reason)
        return
    data = event["data"]
    assert orjson.loads(orjson.dumps(event)) == event
    allowed = REQUIRED[event["type"]] | OPTIONAL.get(event["type"], set()) | {"timestamp", "msg"}
    assert REQUIRED[event["type"]] <= set(data) <= allowed
    assert all(type(data[key]) is str and data[key].isprintable() for key in data if key not in NESTED)
    assert data.get("channel", "global") in ("global", "team", "friends", "whisper")
    assert all(math.isfinite(number) for number in data.get("position", {}).values())
    for key in ("player", "attacker", "recipient"):
        if key in data:
            check_player(data[key])


NESTED = {"player", "attacker", "recipient", "position"}


def check_player(player: dict[str, Any]) -> None:
    assert player["gameId"] and player["name"]
    assert set(player) <= {"gameId", "name", "steamId", "platformId", "ip", "ping"}
    assert all(type(value) is str for key, value in player.items() if key != "ping")
    assert re.fullmatch(r"\d{17}", player.get("steamId", STEAM))
    assert re.fullmatch(r"[A-Za-z0-9_-]+:[A-Za-z0-9_-]+", player.get("platformId", "a:b"))
    assert type(player.get("ping", 0)) in (int, float)
