"""Reduces the arguments of Takaro's requests to those that `records.Command` lists.

Takaro sends whole player rows of several KB where it means an id (protocol.md T15).
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson

from services.relay.protocol import dates
from services.relay.protocol.errors import RelayError
from services.relay.protocol.vocabulary import Action

Arguments = dict[str, Any]
Reader = Callable[[Arguments, str], Any]
"""(Takaro's arguments, name) -> the argument of that name; None: it is left out. Raises BadRequest."""

_ACTIONS = {action.value: action for action in Action}
_GAME_ID_LIMIT_BYTES = 64  # the longest id, a BIS id, has 44
_CODE_LIMIT_BYTES = 128
_TEXT_LIMIT = 2_000  # characters; a mod reads less than 1,000 bytes of arguments (protocol.md M14)
_COMMAND_LIMIT_BYTES = 900  # refused, not cut: a command that is cut is another command
_ALTERED = re.compile('["\\\\\x00-\x1f\x7f-\x9f]')  # characters that flatten.py would replace
_COORDINATE_LIMIT = 1_000_000  # metres; the largest maps have 20,000
_INT32_MAX = 2**31 - 1  # the mod's integers (protocol.md M14)


class BadRequest(RelayError):
    """A request of Takaro's cannot be read. `str(error)` names the field; a person at Takaro reads it."""


def read_request(action: str, args: Any) -> tuple[Action, Arguments]:
    """The action and its reduced arguments. `args` is as Takaro sent it: JSON text, an object, a list or
    nothing. Raises BadRequest."""
    known = _ACTIONS.get(action)
    if known is None:
        raise BadRequest(f"unknown action: {action[:50]!r}")
    if isinstance(args, str):
        try:
            args = orjson.loads(args.strip() or "{}")
        except orjson.JSONDecodeError:
            raise BadRequest("args is not valid JSON") from None
    if isinstance(args, list) and len(args) == 1:
        args = args[0]
    if not args:  # None, "", [] and {} all mean no arguments
        args = {}
    if not isinstance(args, dict):
        raise BadRequest("args must be an object")
    slim: Arguments = {}
    for name, read in ARGUMENTS[known].items():
        if (value := read(args, name)) is not None:
            slim[name] = value
    return known, slim


def _game_id(args: Arguments, name: str) -> str:
    """The gameId of a flat row, which may have a `player` field too, or else of the row in `player`."""
    if args.get(name) is not None or "player" not in args:
        return _id(args, name)
    return _id(args, "player", inside=name, shown=f"player.{name}")


def _id(
    args: Arguments, name: str, *, inside: str = "", limit_bytes: int = _GAME_ID_LIMIT_BYTES, shown: str = ""
) -> str:
    """An id or a code, or the row that has it as `inside`. `shown` is how an error names it.

    It is refused if it would be altered or cut for the mod: it would mean another.
    """
    value, called = args.get(name), shown or name
    if inside and isinstance(value, dict):
        value, called = value.get(inside), shown or f"{name}.{inside}"
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise BadRequest(f"{called} is missing")
    if len(value.encode()) > limit_bytes:
        raise BadRequest(f"{called} is longer than {limit_bytes} bytes")
    if _ALTERED.search(value.strip()):
        raise BadRequest(f"{called} holds characters that none has")
    return value.strip()


def _console_command(args: Arguments, name: str) -> str:
    command = _text(args, name)
    if len(command.encode()) > _COMMAND_LIMIT_BYTES:
        raise BadRequest(f"command is longer than {_COMMAND_LIMIT_BYTES} bytes")
    return command


def _recipient(args: Arguments, name: str) -> str | None:
    """None: everybody reads the message. So an unreadable recipient is an error."""
    opts = _opts(args)
    return None if opts.get(name) is None else _id(opts, name, inside="gameId", shown=f"opts.{name}.gameId")


def _sender_name(args: Arguments, name: str) -> str | None:
    opts = _opts(args)
    return _text(opts, "senderNameOverride") if opts.get("senderNameOverride") else None


def _opts(args: Arguments) -> Arguments:
    opts = args.get("opts") or {}
    if not isinstance(opts, dict):
        raise BadRequest("opts must be an object")
    return opts


def _text(args: Arguments, name: str) -> str:
    text = args.get(name)
    if text is None or text == "":
        raise BadRequest(f"{name} is missing")
    if not isinstance(text, str):
        raise BadRequest(f"{name} must be text")
    if not text.strip():
        raise BadRequest(f"{name} is blank")
    return text[:_TEXT_LIMIT]


def _optional_text(args: Arguments, name: str) -> str:
    text = args.get(name)
    if text is None:
        return ""
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise BadRequest(f"{name} must be text")
    return str(text)[:_TEXT_LIMIT]


def _number(
    args: Arguments, name: str, *, least: int, most: int, must: str, default: int | None = None
) -> float:
    """A number from `least` to `most`, or `default`. With a default it is a whole number."""
    value = args.get(name)
    if value is None or value == "":
        if default is None:
            raise BadRequest(f"{name} is missing")
        return default
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadRequest(f"{name} must be a number")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise BadRequest(f"{name} must be a number") from None
    if not least <= number <= most or (default is not None and number != int(number)):  # also refuses NaN
        raise BadRequest(f"{name} must be {must}")
    return number if default is None else int(number)


def _expiry(args: Arguments, name: str) -> str | None:
    """The end of a ban in UTC; None for a permanent one."""
    expires_at = args.get(name)
    if expires_at is not None and not isinstance(expires_at, str | int | float):
        raise BadRequest("expiresAt must be a date")
    try:
        end = dates.read_end(expires_at)
    except ValueError:
        raise BadRequest("expiresAt must be a date, in ISO 8601 or in seconds since 1970") from None
    return dates.iso(end) if end else None


_PLAYER: dict[str, Reader] = {"gameId": _game_id}
_ITEM = partial(_id, inside="code", limit_bytes=_CODE_LIMIT_BYTES)
_AMOUNT = partial(_number, least=1, most=_INT32_MAX, must=f"a whole number from 1 to {_INT32_MAX}", default=1)
_COORDINATE = partial(
    _number,
    least=-_COORDINATE_LIMIT,
    most=_COORDINATE_LIMIT,
    must=f"within {_COORDINATE_LIMIT} m of the map's corner",
)
_KICK = _PLAYER | {"reason": _optional_text}

ARGUMENTS: dict[Action, dict[str, Reader]] = {
    Action.GET_PLAYER: _PLAYER,
    Action.GET_PLAYERS: {},
    Action.GET_PLAYER_LOCATION: _PLAYER,
    Action.GET_PLAYER_INVENTORY: _PLAYER,
    Action.LIST_ITEMS: {},
    Action.LIST_ENTITIES: {},
    Action.LIST_LOCATIONS: {},
    Action.LIST_BANS: {},
    Action.TEST_REACHABILITY: {},
    Action.GET_MAP_INFO: {},
    Action.GET_MAP_TILE: {},
    Action.EXECUTE_CONSOLE_COMMAND: {"command": _console_command},
    Action.SEND_MESSAGE: {"message": _text, "recipient": _recipient, "senderName": _sender_name},
    Action.GIVE_ITEM: _PLAYER | {"item": _ITEM, "amount": _AMOUNT, "quality": _optional_text},
    Action.TELEPORT_PLAYER: _PLAYER | dict.fromkeys("xyz", _COORDINATE),
    Action.KICK_PLAYER: _KICK,
    Action.BAN_PLAYER: _KICK | {"expiresAt": _expiry},
    Action.UNBAN_PLAYER: _PLAYER,
    Action.SHUTDOWN: {},
}
"""The arguments that a mod needs, each with what reads it. All others are left out."""
