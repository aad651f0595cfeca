"""Reads Takaro's WebSocket frames into values, and makes the bytes of the frames that we send.

protocol.md T1 to T13 describe them. Reading never raises.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from services.relay.protocol.records import GameEvent
from services.uplink.takaro.identify import Identified, IdentifyRefused, identify_answer
from services.uplink.takaro.texts import decoded, message_of, one_line

_REQUEST_ID_LIMIT = 200

PING = b'{"type":"ping"}'  # a JSON ping: the handler that also takes events answers it

_INTERNAL = "internal error handling game event"


@dataclass(frozen=True, slots=True)
class Connected:
    """Takaro's first frame on a new socket."""


class Request(NamedTuple):  # 10,000 may come at once: a dataclass would cost three times as much
    """A request of Takaro's. `action` is "" if the frame names none; `args` is as it was sent."""

    request_id: str
    action: str
    args: Any


@dataclass(frozen=True, slots=True)
class Ping:
    """A ping of Takaro's, to be answered with `pong`."""

    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a `ping` of ours: half of a receipt (protocol.md T7)."""


@dataclass(frozen=True, slots=True)
class ErrorFrame:
    """Takaro refused something that we sent. Nothing says which event it was (protocol.md T6)."""

    text: str
    internal: bool  # Takaro does not know our server any more
    request_id: str = ""  # the request whose answer it refused; any other id is random


Frame = Connected | Identified | IdentifyRefused | Request | Ping | Pong | ErrorFrame


def read_frame(text: str | bytes) -> Frame | None:
    """The frame in a message of Takaro's. None: it is unknown or unreadable. Never raises."""
    try:
        frame = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(frame, dict):
        return None
    payload, request_id = frame.get("payload"), frame.get("requestId")
    fields = payload if isinstance(payload, dict) else {}
    if not isinstance(request_id, str) or len(request_id) > _REQUEST_ID_LIMIT:
        request_id = ""
    match frame.get("type"):
        case "request" if request_id:
            action = fields.get("action")
            return Request(request_id, action if isinstance(action, str) else "", fields.get("args"))
        case "pong":
            return Pong()
        case "ping":
            return Ping(request_id)
        case "connected":
            return Connected()
        case "identifyResponse":
            return identify_answer(fields)
        case "error":
            message = message_of(decoded(payload)) or "Takaro gave no reason"
            return ErrorFrame(message, _INTERNAL in message.lower(), request_id)
    return None


def identify(identity_token: str, registration_token: str, name: str) -> bytes:
    """The identify frame. Its body is in `payload`; Takaro ignores `data` (protocol.md T1)."""
    body = {"identityToken": identity_token, "registrationToken": registration_token, "name": name}
    return orjson.dumps({"type": "identify", "payload": body})


def game_event(event: GameEvent) -> bytes:
    """The frame of one event."""
    return orjson.dumps({"type": "gameEvent", "payload": event})


def pong(request_id: str = "") -> bytes:
    """The answer to a `Ping`."""
    return orjson.dumps({"type": "pong", "requestId": request_id} if request_id else {"type": "pong"})


def response(request_id: str, payload: bytes) -> bytes:
    """The answer to a request. `payload` is JSON, and valid by `answer_rules`."""
    return b'{"type":"response","requestId":' + orjson.dumps(request_id) + b',"payload":' + payload + b"}"


def error_response(request_id: str, text: str) -> bytes:
    """The answer to a request that failed."""
    return response(request_id, orjson.dumps(error_payload(text)))


def error_payload(text: str) -> dict[str, str]:
    """The only error that Takaro does not read as a success (protocol.md T13): a short line, never empty."""
    return {"error": one_line(text) or "the relay gave no reason"}


def kept_json(value: Any) -> bytes:
    """A payload to be kept: what orjson returns takes 4 KB or more, a copy only what it needs."""
    return bytes(memoryview(orjson.dumps(value)))
