"""Which game events and answers Takaro takes (protocol.md T5, T14)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.sim.takaro.server import error_in

Check = Callable[[Any], str | None]
"""What is wrong with a value, or None."""


@dataclass(frozen=True, slots=True)
class Field:
    check: Check
    required: bool = False
    nullable: bool = False


def event_error(payload: Any) -> str | None:
    """The text of the `error` frame about this gameEvent payload, or None if Takaro takes it."""
    if not isinstance(payload, dict):
        return "No payload provided"
    kind = payload.get("type")
    if not isinstance(kind, str) or kind not in _EVENTS:
        return f"Unknown event type: {kind!r}"
    problem = _check_object(payload.get("data"), _EVENTS[kind], whitelist=True)
    return f"An instance of {kind} has failed the validation: {problem}" if problem else None


def conclude(action: str, payload: Any) -> tuple[Any, str | None]:
    """What Takaro makes of the payload of an answer: (value, None) or (None, error text).

    Only a non-empty `error` key inside the payload is an error; for actions without a shape
    everything else is success, whatever it says (protocol.md T13).
    """
    problem = bad_answer(action, payload) or error_in(payload)
    return (None if problem else payload), problem


def bad_answer(action: str, payload: Any) -> str | None:
    """The text of the `error` frame about an answer of the wrong shape, or None."""
    check = _ANSWERS.get(action)
    problem = check(payload) if check is not None else None
    return f"Gameserver responded with bad data: {action}: {problem}" if problem else None


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) else "must be a string"


def _number(value: Any) -> str | None:
    return None if type(value) in (int, float) else "must be a number"


def _boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be a boolean"


def _object(value: Any) -> str | None:
    return None if isinstance(value, dict) else "must be an object"


def _iso_date(value: Any) -> str | None:
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return "must be a valid ISO 8601 date string"
    return None


_PLATFORM_ID = re.compile(r"[A-Za-z0-9_-]+:[A-Za-z0-9_-]+")


def _platform_id(value: Any) -> str | None:
    valid = isinstance(value, str) and _PLATFORM_ID.fullmatch(value)
    return None if valid else "must be in the format platform:id"


def _one_of(*values: str) -> Check:
    return lambda value: None if value in values else f"must be one of {', '.join(values)}"


def _check_object(value: Any, fields: dict[str, Field], *, whitelist: bool) -> str | None:
    if not isinstance(value, dict):
        return "must be an object"
    if whitelist and (unknown := value.keys() - fields.keys()):
        return f"property {min(unknown)} should not exist"
    for name, field in fields.items():
        if name not in value:
            if field.required:
                return f"property {name} is missing"
        elif value[name] is None:
            if not field.nullable:
                return f"property {name} must not be null"
        elif problem := field.check(value[name]):
            return f"property {name} {problem}"
    return None


def _shape(fields: dict[str, Field], *, whitelist: bool = False) -> Check:
    return lambda value: _check_object(value, fields, whitelist=whitelist)


def _array_of(check: Check) -> Check:
    def check_array(value: Any) -> str | None:
        if not isinstance(value, list):
            return "must be an array"
        for index, entry in enumerate(value):
            if problem := check(entry):
                return f"[{index}]: {problem}"
        return None

    return check_array


_TEXT = Field(_text, required=True)
_OPTIONAL_TEXT = Field(_text, nullable=True)
_NUMBER = Field(_number, required=True)
_OPTIONAL_NUMBER = Field(_number, nullable=True)
_METADATA = Field(_object, nullable=True)

_POSITION_FIELDS = {"x": _NUMBER, "y": _NUMBER, "z": _NUMBER, "dimension": _OPTIONAL_TEXT}
_PLAYER_FIELDS = {
    "gameId": _TEXT,
    "name": _TEXT,
    "steamId": _OPTIONAL_TEXT,
    "epicOnlineServicesId": _OPTIONAL_TEXT,
    "xboxLiveId": _OPTIONAL_TEXT,
    "platformId": Field(_platform_id, nullable=True),
    "ip": _OPTIONAL_TEXT,
    "ping": _OPTIONAL_NUMBER,
}

# Events: any field that is not listed is refused.

_PLAYER = Field(_shape(_PLAYER_FIELDS, whitelist=True))
_ANY_EVENT = {"timestamp": Field(_iso_date), "msg": Field(_text, nullable=True)}
_EVENTS: dict[str, dict[str, Field]] = {
    "log": {**_ANY_EVENT, "msg": _TEXT},
    "player-connected": {**_ANY_EVENT, "player": _PLAYER},
    "player-disconnected": {**_ANY_EVENT, "player": _PLAYER},
    "chat-message": {
        **_ANY_EVENT,
        "channel": Field(_one_of("global", "team", "friends", "whisper"), required=True),
        "player": _PLAYER,
        "recipient": _PLAYER,
    },
    "player-death": {
        **_ANY_EVENT,
        "player": _PLAYER,
        "attacker": Field(_PLAYER.check, nullable=True),
        "position": Field(_shape(_POSITION_FIELDS, whitelist=True), nullable=True),
    },
    "entity-killed": {**_ANY_EVENT, "player": _PLAYER, "entity": _TEXT, "weapon": _TEXT},
}

# Answers: extra fields are tolerated, null never is.

_AN_ITEM = _shape(
    {
        "code": _TEXT,
        "name": _TEXT,
        "amount": _OPTIONAL_NUMBER,
        "quality": _OPTIONAL_TEXT,
        "description": _OPTIONAL_TEXT,
    }
)
_AN_ENTITY = _shape(
    {
        "code": _TEXT,
        "name": _TEXT,
        "description": _OPTIONAL_TEXT,
        "type": Field(_one_of("hostile", "friendly", "neutral"), nullable=True),
        "metadata": _METADATA,
    }
)
_A_BAN = _shape(
    {
        "player": Field(_shape(_PLAYER_FIELDS), required=True),
        "reason": _TEXT,
        "expiresAt": Field(_iso_date, nullable=True),
    }
)
_LOCATION_FIELDS = {
    "position": Field(_shape(_POSITION_FIELDS), required=True),
    "name": _TEXT,
    "code": _OPTIONAL_TEXT,
    "metadata": _METADATA,
}
_CIRCLE = _shape({**_LOCATION_FIELDS, "radius": _NUMBER})
_RECTANGLE = _shape({**_LOCATION_FIELDS, "sizeX": _NUMBER, "sizeY": _OPTIONAL_NUMBER, "sizeZ": _NUMBER})


def _a_location(value: Any) -> str | None:
    if not isinstance(value, dict):
        return "must be an object"
    if "radius" not in value:
        return _RECTANGLE(value)
    if value.keys() & {"sizeX", "sizeY", "sizeZ"}:
        return "is either circular or rectangular, not both"
    return _CIRCLE(value)


_MAP_NUMBERS = ("mapBlockSize", "maxZoom", "mapSizeX", "mapSizeY", "mapSizeZ")


def _a_tile(value: Any) -> str | None:
    has_error = isinstance(value, dict) and value.get("error")
    return None if isinstance(value, str) or has_error else "must be a string"


_ANSWERS: dict[str, Check] = {
    "getPlayer": _shape(_PLAYER_FIELDS),
    "getPlayers": _array_of(_shape(_PLAYER_FIELDS)),
    "getPlayerLocation": _shape(_POSITION_FIELDS),
    "getPlayerInventory": _array_of(_AN_ITEM),
    "listItems": _array_of(_AN_ITEM),
    "listEntities": _array_of(_AN_ENTITY),
    "listLocations": _array_of(_a_location),
    "listBans": _array_of(_A_BAN),
    "executeConsoleCommand": _shape(
        {"rawResult": _TEXT, "success": Field(_boolean, required=True), "errorMessage": _OPTIONAL_TEXT}
    ),
    "testReachability": _shape({"connectable": Field(_boolean, required=True), "reason": _OPTIONAL_TEXT}),
    "getMapInfo": _shape({"enabled": Field(_boolean, required=True), **dict.fromkeys(_MAP_NUMBERS, _NUMBER)}),
    "getMapTile": _a_tile,
}
