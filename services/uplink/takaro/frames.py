"""Reads Takaro's WebSocket frames into values, and makes the bytes of the frames that we send.

protocol.md T1 to T13 describe them. Reading never raises: an unreadable frame is `Unknown`.
"""

import re
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Any, NamedTuple

import orjson

from services.relay.protocol.records import GameEvent
from services.relay.service.settings import IDENTITY_TOKEN_PLACE, REGISTRATION_TOKEN_PLACE

TEXT_LIMIT = 300
"""Number of characters that are kept of a peer's text, before it goes into a log, a page or an answer."""

_REQUEST_ID_LIMIT = 200

_GAME_SERVER_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""Characters of Takaro's id of a server, which has been a UUID so far. It goes into URLs and files of
mods."""


@unique
class RefusalReason(StrEnum):
    """Why Takaro refuses an identify. The value labels a metric, so the set is fixed."""

    REGISTRATION_TOKEN = "registration_token"
    IDENTITY_TOKEN = "identity_token"
    PLAN_FULL = "plan_full"
    PLAN_OR_NAME = "plan_full_or_name"
    NAME_TAKEN = "name_taken"
    OTHER = "other"


_PLAN = "the plan at Takaro has no room for one more server"
_REMEDIES = {
    RefusalReason.REGISTRATION_TOKEN: f"check {REGISTRATION_TOKEN_PLACE}: Takaro's dashboard shows it"
    " (Settings, Game Servers, Add Game Server, Generic)",
    RefusalReason.IDENTITY_TOKEN: f"check {IDENTITY_TOKEN_PLACE}",
    RefusalReason.PLAN_FULL: _PLAN,
    RefusalReason.PLAN_OR_NAME: f"{_PLAN}, or Takaro does not take its name: remove a server there, or choose"
    " another name",
    RefusalReason.NAME_TAKEN: "its name is taken in this Takaro domain, also for a while after a server there"
    " was deleted: choose another name",
}
"""The fix, for refusals that stay until a person acts."""

_REASONS = {
    "registrationtoken": RefusalReason.REGISTRATION_TOKEN,
    "registration token": RefusalReason.REGISTRATION_TOKEN,
    "identitytoken": RefusalReason.IDENTITY_TOKEN,
    "max game servers": RefusalReason.PLAN_FULL,
}
"""Part of an error text of Takaro's, in lower case -> the reason."""

_STATUS_REASONS = {400: RefusalReason.PLAN_OR_NAME, 409: RefusalReason.NAME_TAKEN}
"""The same for refusals of Takaro's API, of which we get only the HTTP status (protocol.md T2). All other
statuses are faults of Takaro's that pass."""

_STATUS = re.compile(r"status code (\d{3})\b")

PING = b'{"type":"ping"}'
"""A JSON ping: the handler that also takes events answers it."""

_INTERNAL = "internal error handling game event"


@dataclass(frozen=True, slots=True)
class Connected:
    """Takaro's first frame on a new socket."""


@dataclass(frozen=True, slots=True)
class Identified:
    """Takaro has accepted the identify; events may be sent."""

    game_server_id: str


@dataclass(frozen=True, slots=True)
class IdentifyRefused:
    """Takaro refused the identify. If there is a `remedy`, it goes on refusing until the operator acts."""

    text: str
    reason: RefusalReason = RefusalReason.OTHER

    @property
    def remedy(self) -> str:
        return _REMEDIES.get(self.reason, "")

    @property
    def permanent(self) -> bool:
        return bool(self.remedy)


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
    """Takaro refused something that we sent. `internal`: Takaro does not know our server any more.

    If `request_id` is that of a request, the answer to that request was refused. Any other id is random, and
    does not say which event was refused (protocol.md T6).
    """

    text: str
    internal: bool
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A frame that we do not know. `text` is its beginning."""

    text: str


Frame = Connected | Identified | IdentifyRefused | Request | Ping | Pong | ErrorFrame | Unknown


def read_frame(text: str | bytes) -> Frame:
    """The frame in a message of Takaro's. Never raises."""
    try:
        frame = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _unknown(text)
    if not isinstance(frame, dict):
        return _unknown(text)
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
            return _identify_answer(fields)
        case "error":
            message = _message(_decoded(payload)) or "Takaro gave no reason"
            return ErrorFrame(message, _INTERNAL in message.lower(), request_id)
    return _unknown(text)


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
    """The only form of an error that Takaro does not read as a success (protocol.md T13): one short line,
    never empty."""
    return {"error": one_line(text) or "the relay gave no reason"}


def kept_json(value: Any) -> bytes:
    """A payload that is kept, in no more memory than it needs: what orjson returns takes 4 KB or more, a copy
    does not."""
    return bytes(memoryview(orjson.dumps(value)))


def one_line(text: str) -> str:
    """`text` as one line of at most TEXT_LIMIT printable characters."""
    shown = "".join(char if char.isprintable() else " " for char in text[: 2 * TEXT_LIMIT])
    return " ".join(shown.split())[:TEXT_LIMIT]


def _identify_answer(fields: dict[str, Any]) -> Identified | IdentifyRefused:
    # A transient fault is `"error": {}`: the key alone means a failure (protocol.md T2).
    if "error" in fields:
        error = _decoded(fields["error"])
        text = _message(error)
        reasons = (reason for words, reason in _REASONS.items() if words in text.lower())
        by_status = _STATUS_REASONS.get(_status(error, text), RefusalReason.OTHER)
        return IdentifyRefused(text or "Takaro gave no reason", next(reasons, by_status))
    game_server_id = fields.get("gameServerId")
    if isinstance(game_server_id, str) and _GAME_SERVER_ID.fullmatch(game_server_id):
        return Identified(game_server_id)
    return IdentifyRefused("Takaro's answer names no game server")


def _status(error: Any, text: str) -> int:
    """The HTTP status in a serialised HTTP error, 0 if there is none."""
    status = error.get("status") if isinstance(error, dict) else None
    if isinstance(status, int):
        return status
    found = _STATUS.search(text)
    return int(found[1]) if found else 0


def _decoded(error: Any) -> Any:
    """The error object, also if it was encoded twice; None if it cannot be read."""
    if isinstance(error, str) and error.lstrip().startswith(("{", "[")):
        try:
            return orjson.loads(error)
        except orjson.JSONDecodeError:
            return None
    return error


def _message(error: Any) -> str:
    """Only the text of an error: its other fields may hold the tokens that we sent, and a credential of
    Takaro's."""
    if isinstance(error, dict):
        error = error.get("message") or error.get("error") or error.get("name")
    return one_line(error) if isinstance(error, str) else ""


def _unknown(text: str | bytes) -> Unknown:
    start = text[: 2 * TEXT_LIMIT]
    return Unknown(one_line(start if isinstance(start, str) else start.decode("utf-8", "replace")))
