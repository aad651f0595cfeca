"""The answers that Takaro accepts to each action: the table of protocol.md T14 as code."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from services.relay.protocol.vocabulary import ENTITY_TYPES, Action

Rule = Callable[[Any], str]
"""Value -> what is wrong with it, as the rest of a sentence that begins with its name; "" if it is right."""

_PLATFORM_ID = re.compile(r"[A-Za-z0-9_-]+:[A-Za-z0-9_-]+")
_LARGEST = 2.0**63  # every encoder on the way accepts numbers below it


def answer_fault(action: Action, payload: Any) -> str:
    """What is wrong with `payload` as an answer to `action`; "" if Takaro accepts it.

    An error in Takaro's form is a valid answer, except to testReachability, whose errors Takaro does not
    read.
    """
    if is_error(payload) and action is not Action.TEST_REACHABILITY:
        return "" if isinstance(payload["error"], str) else f"{action}.error must be text"
    wrong = ANSWER_RULES[action](payload)
    return f"{action}{wrong}" if wrong else ""


def is_error(payload: Any) -> bool:
    """Whether Takaro reads `payload` as an error. In JavaScript, `{}` and `[]` are true, 0 is not."""
    return isinstance(payload, dict) and payload.get("error") not in (None, "", 0)


def _anything(value: Any) -> str:
    return ""


def _text(value: Any) -> str:
    return "" if isinstance(value, str) else " must be text"


def _filled(value: Any) -> str:
    return "" if isinstance(value, str) and value else " must be text and not empty"


def _number(value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return "" if is_number and -_LARGEST < value < _LARGEST else " must be a finite number"


def _flag(value: Any) -> str:
    return "" if isinstance(value, bool) else " must be true or false"


def _object(value: Any) -> str:
    return "" if isinstance(value, dict) else " must be an object"


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


def _maybe(rule: Rule) -> Rule:
    """The rule, which also accepts an absent value and null."""
    return lambda value: "" if value is None else rule(value)


def _record(**fields: Rule) -> Rule:
    """An object with these fields; Takaro accepts others beside them."""

    def rule(value: Any) -> str:
        if not isinstance(value, dict):
            return " must be an object"
        for name, field_rule in fields.items():
            if wrong := field_rule(value.get(name)):
                return f".{name}{wrong}"
        return ""

    return rule


def _list_of(row: Rule) -> Rule:
    """An array of such rows, without an object around it."""

    def rule(value: Any) -> str:
        if not isinstance(value, list):
            return " must be a list"
        for index, item in enumerate(value):
            if wrong := row(item):
                return f"[{index}]{wrong}"
        return ""

    return rule


_PLAYER = _record(
    gameId=_filled,
    name=_text,
    steamId=_maybe(_text),
    epicOnlineServicesId=_maybe(_text),
    xboxLiveId=_maybe(_text),
    platformId=_maybe(_platform_id),
    ip=_maybe(_text),
    ping=_maybe(_number),
)
_POSITION = _record(x=_number, y=_number, z=_number, dimension=_maybe(_text))
_ITEM = _record(
    code=_text, name=_text, amount=_maybe(_number), quality=_maybe(_text), description=_maybe(_text)
)
_ENTITY = _record(
    code=_text,
    name=_text,
    description=_maybe(_text),
    type=_maybe(_entity_type),
    metadata=_maybe(_object),
)
_PLACE = {"position": _POSITION, "name": _text, "code": _maybe(_text), "metadata": _maybe(_object)}
_CIRCLE = _record(**_PLACE, radius=_number)
_RECTANGLE = _record(**_PLACE, sizeX=_number, sizeY=_number, sizeZ=_number)
_SIZES = frozenset({"sizeX", "sizeY", "sizeZ"})


def _location(value: Any) -> str:
    """A circle or a rectangle, not both."""
    if not isinstance(value, dict):
        return " must be an object"
    if "radius" not in value:
        return _RECTANGLE(value)
    return " has a radius and a size" if value.keys() & _SIZES else _CIRCLE(value)


ANSWER_RULES: dict[Action, Rule] = {
    Action.GET_PLAYER: _PLAYER,
    Action.GET_PLAYERS: _list_of(_PLAYER),
    Action.GET_PLAYER_LOCATION: _POSITION,
    Action.GET_PLAYER_INVENTORY: _list_of(_ITEM),
    Action.LIST_ITEMS: _list_of(_ITEM),
    Action.LIST_ENTITIES: _list_of(_ENTITY),
    Action.LIST_LOCATIONS: _list_of(_location),
    Action.LIST_BANS: _list_of(_record(player=_PLAYER, reason=_text, expiresAt=_maybe(_date))),
    Action.TEST_REACHABILITY: _record(connectable=_flag, reason=_maybe(_text)),
    Action.GET_MAP_INFO: _record(
        enabled=_flag,
        mapBlockSize=_number,
        maxZoom=_number,
        mapSizeX=_number,
        mapSizeY=_number,
        mapSizeZ=_number,
    ),
    Action.GET_MAP_TILE: _text,
    Action.EXECUTE_CONSOLE_COMMAND: _record(rawResult=_text, success=_flag, errorMessage=_maybe(_text)),
    Action.SEND_MESSAGE: _anything,
    Action.GIVE_ITEM: _anything,
    Action.TELEPORT_PLAYER: _anything,
    Action.KICK_PLAYER: _anything,
    Action.BAN_PLAYER: _anything,
    Action.UNBAN_PLAYER: _anything,
    Action.SHUTDOWN: _anything,
}
