"""Anything that a mod posts or Takaro asks is read, bounded and harmless (protocol.md M8 to M14)."""

import json
from typing import Any

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from services.relay.protocol.vocabulary import ACTION_KINDS, Action, ActionKind
from tests.hostile import properties
from tests.hostile.profile import HOSTILE

ASKED = [action for action in Action if ACTION_KINDS[action] is not ActionKind.OURS]
"""The actions that mods are asked for. The relay answers the others."""

SHARP = [
    '"',
    "\\",
    '"},{"',
    '","type":"log","msg":"',
    "]}",
    "{",
    "\n",
    "\r\n04:12:33 uplink INFO    [main] ",
    "\0",
]
SHARP += [
    "\x1b[2J",
    "\u202e",
    "\u2028",
    "\x85",
    "\ud800",
    "\udc00",
    "\ufeff",
    "nan",
    "-inf",
    "1e999",
    "\U0001f480",
]
TEXT = st.lists(st.text(max_size=12) | st.sampled_from(SHARP), max_size=5).map("".join)
LONG = st.builds(lambda text, times: text * times, TEXT, st.integers(1, 600))
SCALAR = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXT
    | LONG
    | st.sampled_from(
        ["76561198000000001", "K" * 43 + "=", "0", "1", "3021-01-01T00:00:00Z", "2031-01-01", ""]
    )
)
NAMES = [
    "type",
    "msg",
    "raw",
    "player",
    "attacker",
    "recipient",
    "gameId",
    "name",
    "steamId",
    "platformId",
    "ip",
]
NAMES += [
    "ping",
    "channel",
    "weapon",
    "entity",
    "position",
    "x",
    "y",
    "z",
    "events",
    "code",
    "amount",
    "quality",
]
NAMES += [
    "metadata",
    "radius",
    "sizeX",
    "reason",
    "expiresAt",
    "rawResult",
    "success",
    "items",
    "players",
    "bans",
]
ANY = st.recursive(
    SCALAR,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | TEXT, inner, max_size=7)
    ),
    max_leaves=14,
)
PLAYER = st.fixed_dictionaries(
    {"gameId": SCALAR, "name": TEXT},
    optional={"steamId": SCALAR, "platformId": SCALAR, "ip": SCALAR, "ping": SCALAR},
)
KINDS = ["log", "chat-message", "player-connected", "player-disconnected", "player-death", "entity-killed"]
EVENT = st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS), "msg": TEXT | LONG, "player": PLAYER | ANY},
    optional={
        "attacker": PLAYER,
        "recipient": PLAYER,
        "channel": SCALAR,
        "weapon": TEXT,
        "entity": TEXT,
        "position": st.fixed_dictionaries({axis: SCALAR for axis in "xyz"}) | ANY,
    },
)
BATCH = (
    st.lists(EVENT | ANY, max_size=4).map(lambda events: {"events": events})
    | EVENT
    | st.lists(EVENT, max_size=3)
)


def joined(value: Any) -> str:
    """As a mod writes it that joins strings: nothing is escaped."""
    if isinstance(value, dict):
        return "{" + ",".join(f'"{name}":{joined(one)}' for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(joined, value)) + "]"
    if isinstance(value, str):
        return f'"{value}"'
    return "" if value is None else str(value).lower()


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


WRITERS = st.sampled_from(
    [
        lambda value: encoded(joined(value)),
        lambda value: encoded(json.dumps(value)),
        lambda value: encoded(json.dumps(value, ensure_ascii=False, indent=1)),
        lambda value: encoded(json.dumps(value, separators=(",", ":"), ensure_ascii=False)) + b"\0",
    ]
)
BODY = (
    st.builds(lambda write, batch: write(batch), WRITERS, BATCH)
    | st.binary(max_size=400)
    | st.text('{}[]",:\\ \nnaif01.eE-u', max_size=80).map(str.encode)
)


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """A body of which a part was cut out or doubled, or in which bytes were inserted."""
    body = draw(BODY)
    at = draw(st.integers(0, len(body)))
    until = draw(st.integers(at, len(body)))
    return body[:at] + draw(st.binary(max_size=6) | st.just(body[at:until] * 2)) + body[until:]


@HOSTILE
@given(BODY | spoiled())
def test_any_body_is_read_in_time_and_strict_json_keeps_its_meaning(body: bytes) -> None:
    properties.reading(body)


@HOSTILE
@given(BODY | spoiled())
def test_takaro_takes_any_event_or_it_becomes_a_dead_letter(body: bytes) -> None:
    properties.events(body)


@HOSTILE
@given(
    st.sampled_from(ASKED),
    st.builds(
        lambda write, ok, result, error: write(
            {"operationId": "1", "ok": ok, "result": result, "error": error}
        ),
        WRITERS,
        SCALAR,
        ANY,
        SCALAR,
    )
    | spoiled(),
)
def test_takaro_takes_any_answer_of_a_mod(action: Action, body: bytes) -> None:
    properties.answer(action, body)


ROW = st.fixed_dictionaries(
    {"gameId": st.just("76561198000000001") | SCALAR}, optional={"name": TEXT, "inventory": ANY}
)
ARGS = st.fixed_dictionaries(
    {},
    optional={
        "player": ROW | SCALAR,
        "gameId": st.just("76561198000000001") | SCALAR,
        "message": TEXT | LONG,
        "opts": st.fixed_dictionaries({}, optional={"recipient": ROW, "senderNameOverride": TEXT | LONG})
        | ANY,
        "item": st.fixed_dictionaries({"code": TEXT}) | TEXT,
        "amount": SCALAR,
        "quality": SCALAR,
        "reason": TEXT | LONG,
        "expiresAt": SCALAR | st.datetimes().map(str),
        "command": TEXT | LONG,
        **{axis: st.floats(-20_000, 20_000) | SCALAR for axis in "xyz"},
    },
)


def writable(args: Any) -> Any:
    """The arguments as Takaro's JSON has them: no NaN, no half of a surrogate pair."""
    return orjson.loads(
        json.dumps(args, allow_nan=True).encode().replace(b"\\ud800", b"").replace(b"\\udc00", b"")
    )


@HOSTILE
@given(st.sampled_from(Action), ARGS)
@example(Action.EXECUTE_CONSOLE_COMMAND, {"command": "x" * 5_000})
@example(Action.GIVE_ITEM, {"gameId": "1", "item": 'Apple","amount":"9'})
@example(Action.KICK_PLAYER, {"gameId": '1","reason":"', "reason": "x"})
@example(Action.KICK_PLAYER, {"gameId": "1", "reason": '","gameId":"2'})
@example(Action.SEND_MESSAGE, {"message": "\u20ac" * 1_000, "opts": {"recipient": {"gameId": "1"}}})
def test_all_generations_read_any_arguments_alike(action: Action, args: Any) -> None:
    try:
        args = writable(args)
    except orjson.JSONDecodeError:
        return
    properties.arguments(action, args)


@HOSTILE
@given(
    st.builds(
        lambda kind, request_id, payload: encoded(
            json.dumps({"type": kind, "requestId": request_id, "payload": payload})
        ),
        st.sampled_from(["request", "error", "identifyResponse", "ping", "pong", "connected"]) | SCALAR,
        st.text(max_size=8) | SCALAR,
        st.builds(
            lambda action, args: {"action": action, "args": args},
            st.sampled_from([*map(str, Action)]),
            ARGS | ANY,
        )
        | ANY,
    )
    | BODY
)
def test_any_frame_of_takaro_is_read(data: bytes) -> None:
    properties.frame(data)
