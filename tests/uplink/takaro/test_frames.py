"""Takaro's frames: each kind is read, no input makes the reader raise, and we write valid JSON."""

import json
from typing import Any, NoReturn

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.protocol.records import GameEvent
from services.uplink.takaro import frames
from services.uplink.takaro.frames import (
    Connected,
    ErrorFrame,
    Frame,
    Ping,
    Pong,
    Request,
    read_frame,
)
from services.uplink.takaro.identify import Identified, IdentifyRefused
from services.uplink.takaro.texts import TEXT_LIMIT

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


CREDENTIAL = "credential-of-takaro"


def http_error(status: int) -> dict[str, Any]:
    """An error of Takaro's API, as Takaro serialises it (protocol.md T2)."""
    return {
        "message": f"Request failed with status code {status}",
        "name": "AxiosError",
        "stack": f"AxiosError: {CREDENTIAL}",
        "config": {"headers": {"Authorization": CREDENTIAL}},
        "code": "ERR_BAD_REQUEST",
        "status": status,
    }


def refuse_constant(name: str) -> NoReturn:
    raise AssertionError(f"{name} is not JSON")


def decoded(frame: bytes) -> Any:
    """The frame as a strict peer reads it."""
    return json.loads(frame, parse_constant=refuse_constant)


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ('{"type":"connected","payload":{"clientId":"client-1"},"requestId":"r"}', Connected()),
        ('{"type":"connected"}', Connected()),
        ('{"type":"identifyResponse","payload":{"gameServerId":"g-1"},"requestId":"r"}', Identified("g-1")),
        ('{"type":"pong","payload":null,"requestId":"r"}', Pong()),
        ('{"type":"ping"}', Ping()),
        ('{"type":"ping","requestId":"r"}', Ping("r")),
        (
            '{"type":"request","requestId":"r","payload":{"action":"getPlayers","args":"[]"}}',
            Request("r", "getPlayers", "[]"),
        ),
        (
            '{"type":"request","requestId":"r","payload":{"action":"getPlayer","args":{"gameId":"1"}}}',
            Request("r", "getPlayer", {"gameId": "1"}),
        ),
        ('{"type":"request","requestId":"r","payload":{"action":7}}', Request("r", "", None)),
        ('{"type":"request","requestId":"r","payload":null}', Request("r", "", None)),
        (
            '{"type":"error","payload":{"message":"Internal error handling game event"},"requestId":"r"}',
            ErrorFrame("Internal error handling game event", internal=True, request_id="r"),
        ),
        (
            '{"type":"error","payload":{"message":"property raw should not exist"}}',
            ErrorFrame("property raw should not exist", internal=False),
        ),
        ('{"type":"error","payload":"Invalid message"}', ErrorFrame("Invalid message", internal=False)),
        ('{"type":"error"}', ErrorFrame("Takaro gave no reason", internal=False)),
    ],
)
def test_each_kind_of_frame_is_read(text: str, frame: Frame) -> None:
    assert read_frame(text) == frame
    assert read_frame(text.encode()) == frame


@pytest.mark.parametrize(
    ("payload", "text", "remedy"),
    [
        (
            {
                "error": {
                    "name": "BadRequestError",
                    "message": "Invalid registrationToken provided",
                    "http": 400,
                }
            },
            "Invalid registrationToken provided",
            "check registration_token",
        ),
        (
            {"error": {"message": "Max game servers reached"}},
            "Max game servers reached",
            "the plan at Takaro",
        ),
        (
            {"error": {"message": "No identityToken provided"}},
            "No identityToken provided",
            "check identity_token",
        ),
        ({"error": "Invalid registration token"}, "Invalid registration token", "check registration_token"),
        (
            {
                "error": {
                    "message": "Request failed with status code 502",
                    "config": {"data": "registrationToken"},
                }
            },
            "Request failed with status code 502",
            "",
        ),
        *[
            ({"error": http_error(status)}, f"Request failed with status code {status}", remedy)
            for status, remedy in (
                (400, "the plan at Takaro"),
                (409, "its name is taken"),
                (401, ""),
                (429, ""),
                (500, ""),
                (503, ""),
            )
        ],
        ({"error": json.dumps(http_error(409))}, "Request failed with status code 409", "its name is taken"),
        (
            {"error": http_error(409) | {"status": None}},
            "Request failed with status code 409",
            "its name is taken",
        ),
        ({"error": http_error(400) | {"message": "Network Error", "status": None}}, "Network Error", ""),
        ({"error": http_error(409) | {"message": "Conflict"}}, "Conflict", "its name is taken"),
        ({"error": json.dumps(http_error(409) | {"message": "Conflict"})}, "Conflict", "its name is taken"),
        ({"error": {"message": http_error(409)}}, "Takaro gave no reason", ""),
        ({"error": '{"config": "' + CREDENTIAL}, "Takaro gave no reason", ""),
        ({"error": {"message": "No payload provided"}}, "No payload provided", ""),
        ({"error": {"name": "AxiosError"}}, "AxiosError", ""),
        ({"error": {}}, "Takaro gave no reason", ""),
        ({"error": None, "gameServerId": "g"}, "Takaro gave no reason", ""),
        ({}, "Takaro's answer names no game server", ""),
        ({"gameServerId": ""}, "Takaro's answer names no game server", ""),
        (None, "Takaro's answer names no game server", ""),
    ],
)
def test_an_error_key_means_failure_and_its_text_gives_the_remedy(
    payload: Any, text: str, remedy: str
) -> None:
    frame = json.dumps({"type": "identifyResponse", "payload": payload})
    refused = read_frame(frame)
    assert isinstance(refused, IdentifyRefused) and refused.text == text
    assert refused.remedy.startswith(remedy) and bool(refused.remedy) is bool(remedy)
    assert CREDENTIAL not in repr(refused)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        "null",
        "7",
        "{}",
        '{"type":["request"]}',
        '{"type":"hello"}',
        '{"type":"request","payload":{"action":"getPlayers"}}',
        '{"type":"request","requestId":7,"payload":{"action":"getPlayers"}}',
        '{"type":"request","requestId":"","payload":{"action":"getPlayers"}}',
        '{"type":"request","requestId":"' + "r" * 201 + '","payload":{"action":"getPlayers"}}',
        '{"type":"connected","payload":NaN}',
        "[" * 5000,
        "\ud800",
    ],
)
def test_other_messages_are_no_frames(text: str) -> None:
    assert read_frame(text) is None


def test_unreadable_bytes_are_no_frame() -> None:
    assert read_frame(b"\xff\n" * 10_000) is None


def test_a_long_error_is_shortened() -> None:
    frame = read_frame(json.dumps({"type": "error", "payload": {"message": "x" * 10_000}}))
    assert frame == ErrorFrame("x" * TEXT_LIMIT, internal=False)


KINDS = st.sampled_from(["request", "identifyResponse", "error", "ping", "pong", "connected", "other"])
FRAME_LIKE = st.fixed_dictionaries(
    {"type": KINDS | JSON_VALUES},
    optional={
        "requestId": st.text(max_size=5) | JSON_VALUES,
        "payload": JSON_VALUES
        | st.dictionaries(
            st.sampled_from(["error", "gameServerId", "action", "args", "message"]), JSON_VALUES
        ),
    },
)


@given(st.text() | st.binary() | JSON_VALUES.map(json.dumps) | FRAME_LIKE.map(json.dumps))
def test_reading_never_raises_and_keeps_short_texts(text: str | bytes) -> None:
    frame = read_frame(text)
    assert len(getattr(frame, "text", "")) <= TEXT_LIMIT
    if isinstance(frame, Request):
        assert frame.request_id


def test_identify_has_its_body_in_payload() -> None:
    assert decoded(frames.identify("identity", "registration", "My Server")) == {
        "type": "identify",
        "payload": {"identityToken": "identity", "registrationToken": "registration", "name": "My Server"},
    }


def test_an_event_is_in_payload() -> None:
    event: GameEvent = {"type": "log", "data": {"msg": 'grüße "quoted"'}}
    assert decoded(frames.game_event(event)) == {"type": "gameEvent", "payload": event}


def test_pings_and_pongs_are_frames() -> None:
    assert read_frame(frames.PING) == Ping()
    assert read_frame(frames.pong()) == Pong()
    assert decoded(frames.pong("r")) == {"type": "pong", "requestId": "r"}


@given(st.text(max_size=5), JSON_VALUES)
def test_a_response_carries_its_payload_unchanged(request_id: str, payload: Any) -> None:
    assert decoded(frames.response(request_id, orjson.dumps(payload))) == {
        "type": "response",
        "requestId": request_id,
        "payload": payload,
    }


@given(st.text(st.characters()))
def test_an_error_answer_is_never_empty_and_always_one_short_line(text: str) -> None:
    frame = decoded(frames.error_response("r", text))
    assert frame["type"] == "response"
    error = frame["payload"]["error"]
    assert 0 < len(error) <= TEXT_LIMIT
    assert "\n" not in error


def test_nan_is_never_sent() -> None:
    event: GameEvent = {"type": "log", "data": {"x": float("nan")}}
    assert decoded(frames.game_event(event))["payload"]["data"] == {"x": None}
