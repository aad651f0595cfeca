"""The payloads of our answers are valid for Takaro: from outcomes, from the mirror, and our own."""

import base64
import json
import zlib
from typing import Any, NoReturn

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.protocol.records import Outcome
from services.relay.protocol.vocabulary import ACTION_KINDS, SILENT_AFTER_S, Action, ActionKind
from services.uplink.takaro.answer_rules import answer_fault, is_error
from services.uplink.takaro.answers import OWN_ANSWERS, payload_for, reachability
from services.uplink.takaro.frames import response
from services.uplink.takaro.texts import TEXT_LIMIT

ARGS = {"gameId": "1"}
LISTS = [
    Action.GET_PLAYERS,
    Action.LIST_ITEMS,
    Action.LIST_ENTITIES,
    Action.LIST_LOCATIONS,
    Action.LIST_BANS,
]
WITHOUT_RESULT = [a for a in Action if ACTION_KINDS[a] is ActionKind.WRITE if a != "executeConsoleCommand"]


def refuse_constant(name: str) -> NoReturn:
    raise AssertionError(f"{name} is not JSON")


@pytest.mark.parametrize("action", WITHOUT_RESULT)
def test_a_done_action_is_answered_with_an_object_and_a_failed_one_with_its_error(action: Action) -> None:
    assert payload_for(action, ARGS, Outcome()) == {}
    assert payload_for(action, ARGS, Outcome(value={"error": "stray"})) == {}
    assert payload_for(action, ARGS, Outcome(error="not\nfound")) == {"error": "not found"}


@pytest.mark.parametrize("action", LISTS)
def test_a_list_is_passed_on_and_a_failed_one_is_an_error(action: Action) -> None:
    assert payload_for(action, {}, Outcome(value=[])) == []
    assert payload_for(action, {}, Outcome(error="slow")) == {"error": "slow"}
    assert is_error(payload_for(action, {}, Outcome()))


@pytest.mark.parametrize(
    ("outcome", "payload"),
    [
        (Outcome(value={"gameId": "1", "name": "New"}), {"gameId": "1", "name": "New"}),
        (Outcome(), {"error": "no such player: 1"}),
        (Outcome(error="slow"), {"error": "slow"}),
    ],
)
def test_a_player_answer_is_the_player_or_an_error(outcome: Outcome, payload: Any) -> None:
    assert payload_for(Action.GET_PLAYER, ARGS, outcome) == payload


@pytest.mark.parametrize("action", [Action.GET_PLAYER_LOCATION, Action.GET_PLAYER_INVENTORY])
@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome(), "no such player: 1"),
        (Outcome(error="timeout"), "timeout"),
        (Outcome(value={"x": 1, "error": "gone"}), "gone"),
        (Outcome(value={"items": []}), "cannot be used"),
    ],
)
def test_an_unknown_player_is_an_error(action: Action, outcome: Outcome, words: str) -> None:
    payload = payload_for(action, ARGS, outcome)
    assert is_error(payload) and words in payload["error"]


def test_a_value_that_takaro_would_refuse_becomes_an_error_that_names_the_field() -> None:
    outcome = Outcome(value={"rawResult": "ok", "success": 1})
    assert payload_for(Action.EXECUTE_CONSOLE_COMMAND, {}, outcome) == {
        "rawResult": "",
        "success": False,
        "error": "the game server's answer cannot be used:"
        " executeConsoleCommand.success must be true or false",
    }


def test_a_value_that_has_an_error_stays_an_error() -> None:
    outcome = Outcome(value={"rawResult": "", "success": False, "error": "no\nsuch command"})
    assert payload_for(Action.EXECUTE_CONSOLE_COMMAND, {}, outcome) == {
        "rawResult": "",
        "success": False,
        "error": "the game server answered an error: no such command",
    }


def test_a_long_error_of_the_mod_is_shortened() -> None:
    payload = payload_for(Action.SHUTDOWN, {}, Outcome(error="x" * 100_000))
    assert payload == {"error": "x" * TEXT_LIMIT}


@pytest.mark.parametrize("action", OWN_ANSWERS)
def test_our_own_answers_are_valid_and_need_no_mod(action: Action) -> None:
    assert answer_fault(action, OWN_ANSWERS[action]) == ""
    assert payload_for(action, {}, Outcome(error="slow")) == OWN_ANSWERS[action]


def test_the_map_tile_is_one_transparent_pixel() -> None:
    image = base64.b64decode(OWN_ANSWERS[Action.GET_MAP_TILE], validate=True)
    assert image.startswith(b"\x89PNG\r\n\x1a\n")
    at = image.index(b"IDAT")
    length = int.from_bytes(image[at - 4 : at])
    assert zlib.decompress(image[at + 4 : at + 4 + length]) == b"\0" + b"\0\0\0\0"


@pytest.mark.parametrize(
    ("silent_s", "store_away", "connectable", "reason"),
    [
        (0.0, False, True, ""),
        (SILENT_AFTER_S, False, True, ""),
        (SILENT_AFTER_S + 1, False, False, "has not contacted the relay for 61 s"),
        (None, False, False, "no mod has ever contacted the relay"),
        (1.0, True, True, ""),
        (SILENT_AFTER_S + 1, True, False, "has not contacted the relay for 61 s"),
        (None, True, True, "the relay's store is away"),
    ],
)
def test_a_server_is_unreachable_only_after_a_stated_silence(
    silent_s: float | None, store_away: bool, connectable: bool, reason: str
) -> None:
    answer = reachability(silent_s, store_away)
    assert answer["connectable"] is connectable
    assert reason in answer["reason"]
    assert answer_fault(Action.TEST_REACHABILITY, answer) == ""


@given(st.none() | st.floats(0, 1e9))
def test_losing_the_store_never_turns_a_reachable_server_unreachable(silent_s: float | None) -> None:
    before, after = reachability(silent_s, store_away=False), reachability(silent_s, store_away=True)
    assert after["connectable"] or not before["connectable"]


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["gameId", "name", "x", "y", "z", "error", "code", "quality", "success", "rawResult"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=10,
)


@given(
    st.sampled_from([action for action in Action if action is not Action.TEST_REACHABILITY]),
    st.builds(Outcome, value=VALUES, error=st.just("") | st.text()),
)
def test_for_any_outcome_takaro_gets_a_valid_answer(action: Action, outcome: Outcome) -> None:
    payload = payload_for(action, ARGS, outcome)
    assert payload is not None
    assert answer_fault(action, payload) == ""
    json.loads(response("r", orjson.dumps(payload)), parse_constant=refuse_constant)
