"""The answers that Takaro accepts to each action: the table of protocol.md T14 as code."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from services.relay.protocol.vocabulary import ENTITY_TYPES, Action

Rule = type | dict[str, "Rule"] | list["Rule"] | Callable[[Any], str]
"""What a value must be: of a type, an object with fields, a list of rows that fit the one rule in it, or what
the function says. That returns what is wrong, as the rest of a sentence that begins with the value's name; ""
if the value is right. A field whose name has a "?" may be absent or null. Takaro accepts other fields too."""

_PLATFORM_ID = re.compile(r"[A-Za-z0-9_-]+:[A-Za-z0-9_-]+")
_MUST_BE = {
    str: " must be text",
    bool: " must be true or false",
    dict: " must be an object",
    list: " must be a list",
}
_LARGEST = 2.0**63  # every encoder on the way accepts numbers below it


def answer_fault(action: Action, payload: Any) -> str:
    """What is wrong with `payload` as an answer to `action`; "" if Takaro accepts it.

    An error in Takaro's form is a valid answer, except to testReachability, whose errors it does not read.
    """
    if is_error(payload) and action is not Action.TEST_REACHABILITY:
        return "" if isinstance(payload["error"], str) else f"{action}.error must be text"
    wrong = _wrong(ANSWER_RULES[action], payload)
    return f"{action}{wrong}" if wrong else ""


def _wrong(rule: Rule, value: Any) -> str:
    """What is wrong with `value` by `rule`, as the rest of a sentence that begins with its name."""
    if isinstance(rule, type):
        return "" if isinstance(value, rule) else _MUST_BE[rule]
    if isinstance(rule, dict):
        if not isinstance(value, dict):
            return _MUST_BE[dict]
        for key, field_rule in rule.items():
            name = key.rstrip("?")
            field = value.get(name)
            if field is None and name != key:
                continue
            if wrong := _wrong(field_rule, field):
                return f".{name}{wrong}"
        return ""
    if isinstance(rule, list):
        if not isinstance(value, list):
            return _MUST_BE[list]
        for index, row in enumerate(value):
            if wrong := _wrong(rule[0], row):
                return f"[{index}]{wrong}"
        return ""
    return rule(value)


def is_error(payload: Any) -> bool:
    """Whether Takaro reads `payload` as an error. In JavaScript, `{}` and `[]` are true, 0 is not."""
    return isinstance(payload, dict) and payload.get("error") not in (None, "", 0)


def _filled(value: Any) -> str:
    return "" if isinstance(value, str) and value else " must be text and not empty"


def _number(value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return "" if is_number and -_LARGEST < value < _LARGEST else " must be a finite number"


def _platform_id(value: Any) -> str:
    fits = isinstance(value, str) and _PLATFORM_ID.fullmatch(value)
    return "" if fits else " must look like platform:id"


def _date(value: Any) -> str:
    try:
        datetime.fromisoformat(value)
    except (ValueError, TypeError):
        return " must be an ISO 8601 date or null"
    return ""


def _entity_type(value: Any) -> str:
    return "" if value in ENTITY_TYPES else f" must be one of {', '.join(ENTITY_TYPES)}"


_PLAYER: Rule = {
    "gameId": _filled,
    "name": str,
    "steamId?": str,
    "epicOnlineServicesId?": str,
    "xboxLiveId?": str,
    "platformId?": _platform_id,
    "ip?": str,
    "ping?": _number,
}
_POSITION: Rule = {"x": _number, "y": _number, "z": _number, "dimension?": str}
_ITEM: Rule = {"code": str, "name": str, "amount?": _number, "quality?": str, "description?": str}
_ENTITY: Rule = {"code": str, "name": str, "description?": str, "type?": _entity_type, "metadata?": dict}
_PLACE: dict[str, Rule] = {"position": _POSITION, "name": str, "code?": str, "metadata?": dict}
_SIZES: dict[str, Rule] = {"sizeX": _number, "sizeY": _number, "sizeZ": _number}


def _location(value: Any) -> str:
    """A circle or a rectangle, not both."""
    if not isinstance(value, dict) or "radius" not in value:
        return _wrong(_PLACE | _SIZES, value)
    if value.keys() & _SIZES.keys():
        return " has a radius and a size"
    return _wrong(_PLACE | {"radius": _number}, value)


ANSWER_RULES: dict[Action, Rule] = {
    Action.GET_PLAYER: _PLAYER,
    Action.GET_PLAYERS: [_PLAYER],
    Action.GET_PLAYER_LOCATION: _POSITION,
    Action.GET_PLAYER_INVENTORY: [_ITEM],
    Action.LIST_ITEMS: [_ITEM],
    Action.LIST_ENTITIES: [_ENTITY],
    Action.LIST_LOCATIONS: [_location],
    Action.LIST_BANS: [{"player": _PLAYER, "reason": str, "expiresAt?": _date}],
    Action.TEST_REACHABILITY: {"connectable": bool, "reason?": str},
    Action.GET_MAP_INFO: {
        "enabled": bool,
        "mapBlockSize": _number,
        "maxZoom": _number,
        "mapSizeX": _number,
        "mapSizeY": _number,
        "mapSizeZ": _number,
    },
    Action.GET_MAP_TILE: str,
    Action.EXECUTE_CONSOLE_COMMAND: {"rawResult": str, "success": bool, "errorMessage?": str},
    # Takaro reads nothing of these answers.
    Action.SEND_MESSAGE: object,
    Action.GIVE_ITEM: object,
    Action.TELEPORT_PLAYER: object,
    Action.KICK_PLAYER: object,
    Action.BAN_PLAYER: object,
    Action.UNBAN_PLAYER: object,
    Action.SHUTDOWN: object,
}
