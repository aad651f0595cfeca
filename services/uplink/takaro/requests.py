"""Reduces the arguments of Takaro's requests to those that `records.Command` lists.

Takaro sends whole player rows of several KB where it means an id (protocol.md T15).
"""

import re
from collections.abc import Callable
from typing import Any

import orjson

from services.relay.protocol import dates
from services.relay.protocol.errors import RelayError
from services.relay.protocol.vocabulary import Action

Arguments = dict[str, Any]

_ACTIONS = {action.value: action for action in Action}
_GAME_ID_LIMIT = 64  # the longest id, a BIS id, has 44 characters
_TEXT_LIMIT = 2_000  # characters; a mod reads less than 1,000 bytes of arguments (protocol.md M14)
_COMMAND_LIMIT_BYTES = 900  # refused, not cut: a command that is cut is another command
_ID_LIMIT_BYTES = 128
_ALTERED = re.compile('["\\\\\x00-\x1f\x7f-\x9f]')  # characters that flatten.py would replace
_COORDINATE_LIMIT = 1_000_000  # metres; the largest maps have 20,000
_INT32_MAX = 2**31 - 1  # the mod's integers (protocol.md M14)


class BadRequest(RelayError):
    """A request of Takaro's cannot be read. `str(error)` names the field; a person at Takaro reads it."""


def read_request(action: str, args: Any) -> tuple[Action, Arguments]:
    """The action and its reduced arguments. `args` is as Takaro sent it: JSON text, an object, a list or
    nothing.

    Raises BadRequest.
    """
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
    return known, ARGUMENTS[known](args)


def _nothing(args: Arguments) -> Arguments:
    return {}


def _player(args: Arguments) -> Arguments:
    return {"gameId": _target(args)}


def _message(args: Arguments) -> Arguments:
    slim = {"message": _text(args, "message")}
    opts = args.get("opts") or {}
    if not isinstance(opts, dict):
        raise BadRequest("opts must be an object")
    # An unreadable recipient is an error: without it, everybody would read the whisper.
    if opts.get("recipient") is not None:
        slim["recipient"] = _game_id(opts["recipient"], "opts.recipient")
    if opts.get("senderNameOverride"):
        slim["senderName"] = _text(opts, "senderNameOverride")
    return slim


def _kick(args: Arguments) -> Arguments:
    return {"gameId": _target(args), "reason": _optional_text(args, "reason")}


def _ban(args: Arguments) -> Arguments:
    return _kick(args) | _expiry(args.get("expiresAt"))


def _teleport(args: Arguments) -> Arguments:
    return {"gameId": _target(args)} | {axis: _coordinate(args, axis) for axis in ("x", "y", "z")}


def _gift(args: Arguments) -> Arguments:
    item = args.get("item")
    code = _text(item, "code", "item.code") if isinstance(item, dict) else _text(args, "item")
    return {
        "gameId": _target(args),
        "item": _unaltered(code, "item.code"),
        "amount": _amount(args),
        "quality": _optional_text(args, "quality"),
    }


def _console(args: Arguments) -> Arguments:
    command = _text(args, "command")
    if len(command.encode()) > _COMMAND_LIMIT_BYTES:
        raise BadRequest(f"command is longer than {_COMMAND_LIMIT_BYTES} bytes")
    return {"command": command}


ARGUMENTS: dict[Action, Callable[[Arguments], Arguments]] = {
    Action.GET_PLAYER: _player,
    Action.GET_PLAYERS: _nothing,
    Action.GET_PLAYER_LOCATION: _player,
    Action.GET_PLAYER_INVENTORY: _player,
    Action.LIST_ITEMS: _nothing,
    Action.LIST_ENTITIES: _nothing,
    Action.LIST_LOCATIONS: _nothing,
    Action.LIST_BANS: _nothing,
    Action.TEST_REACHABILITY: _nothing,
    Action.GET_MAP_INFO: _nothing,
    Action.GET_MAP_TILE: _nothing,
    Action.EXECUTE_CONSOLE_COMMAND: _console,
    Action.SEND_MESSAGE: _message,
    Action.GIVE_ITEM: _gift,
    Action.TELEPORT_PLAYER: _teleport,
    Action.KICK_PLAYER: _kick,
    Action.BAN_PLAYER: _ban,
    Action.UNBAN_PLAYER: _player,
    Action.SHUTDOWN: _nothing,
}


def _target(args: Arguments) -> str:
    """The gameId of a flat row, which may have a `player` field too, or else of the row in `player`."""
    if args.get("gameId") is not None or "player" not in args:
        return _game_id(args, "")
    return _game_id(args["player"], "player")


def _game_id(row: Any, where: str) -> str:
    game_id = row.get("gameId") if isinstance(row, dict) else row
    name = f"{where}.gameId" if where else "gameId"
    if isinstance(game_id, int) and not isinstance(game_id, bool):
        game_id = str(game_id)
    if not isinstance(game_id, str) or not game_id.strip():
        raise BadRequest(f"{name} is missing")
    if len(game_id) > _GAME_ID_LIMIT:
        raise BadRequest(f"{name} is longer than {_GAME_ID_LIMIT} characters")
    return _unaltered(game_id.strip(), name)


def _unaltered(text: str, name: str) -> str:
    """The id or code, unchanged. Raises BadRequest if it would be altered or cut for the mod: it would mean
    another."""
    if _ALTERED.search(text) or len(text.encode()) > _ID_LIMIT_BYTES:
        raise BadRequest(f"{name} is too long, or holds characters that none has")
    return text


def _text(args: Arguments, name: str, shown: str = "") -> str:
    text = args.get(name)
    if text is None or text == "":
        raise BadRequest(f"{shown or name} is missing")
    if not isinstance(text, str):
        raise BadRequest(f"{shown or name} must be text")
    if not text.strip():
        raise BadRequest(f"{shown or name} is blank")
    return text[:_TEXT_LIMIT]


def _optional_text(args: Arguments, name: str) -> str:
    text = args.get(name)
    if text is None:
        return ""
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise BadRequest(f"{name} must be text")
    return str(text)[:_TEXT_LIMIT]


def _number(value: Any, name: str) -> float:
    if value is None or value == "":
        raise BadRequest(f"{name} is missing")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadRequest(f"{name} must be a number")
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise BadRequest(f"{name} must be a number") from None


def _coordinate(args: Arguments, axis: str) -> float:
    metres = _number(args.get(axis), axis)
    if not -_COORDINATE_LIMIT <= metres <= _COORDINATE_LIMIT:  # also refuses NaN
        raise BadRequest(f"{axis} must be within {_COORDINATE_LIMIT} m of the map's corner")
    return metres


def _amount(args: Arguments) -> int:
    if args.get("amount") in (None, ""):
        return 1
    amount = _number(args["amount"], "amount")
    if not 1 <= amount <= _INT32_MAX or amount != int(amount):
        raise BadRequest(f"amount must be a whole number from 1 to {_INT32_MAX}")
    return int(amount)


def _expiry(expires_at: Any) -> dict[str, str]:
    """`expiresAt` in UTC; an empty dict for a permanent ban."""
    if expires_at is not None and not isinstance(expires_at, str | int | float):
        raise BadRequest("expiresAt must be a date")
    try:
        end = dates.read_end(expires_at)
    except ValueError:
        raise BadRequest("expiresAt must be a date, in ISO 8601 or in seconds since 1970") from None
    return {"expiresAt": dates.iso(end)} if end else {}
