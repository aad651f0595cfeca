"""Writes the arguments of an operation as one flat, short object, which every generation of the mod can read.

The oldest mods fail on a nested object. The newest read a text up to the next quote without unescaping. The
engine cuts a string value at about 1,023 bytes (protocol.md M14).
"""

import re
from collections.abc import Callable
from typing import Any

from services.modapi.dialect import fields
from services.relay.protocol import dates
from services.relay.protocol.vocabulary import Action

LIMIT_BYTES = 999
ID_BYTES = 128
INT32_MAX = 2**31 - 1
_UNSCANNABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

Args = dict[str, Any]
Members = list[str]  # the JSON of each name with its value, in order
Flat = tuple[Members, tuple[str, Any] | None]  # the members, and the text that may be cut to fit


def flatten(action: Action, args: Args, now_ms: int) -> str:
    """The argsJson of one action: less than 1,000 bytes of UTF-8, gameId first, nothing escaped.

    `args` are those of `Command`. `now_ms` (Unix time) is needed for the length of a ban.
    """
    members, free = FLATTENERS[action](args, now_ms)
    if free is not None:
        name, text = free
        spent = sum(len(member.encode()) + 1 for member in members)
        left_bytes = LIMIT_BYTES - spent - len(f'{{"{name}":""}}')
        members.append(_text(name, text, left_bytes))
    return "{" + ",".join(members) + "}"


def _plain(*names: str, free: str = "") -> Callable[[Args, int], Flat]:
    """Writes the texts with these names, which stay short, and perhaps one that may be cut."""

    def members(args: Args, now_ms: int) -> Flat:
        return [_text(name, args.get(name)) for name in names], (free, args.get(free)) if free else None

    return members


def _message(args: Args, now_ms: int) -> Flat:
    members: Members = []
    if args.get("recipient"):
        members += [_text(name, args["recipient"]) for name in ("gameId", "recipientGameId")]
    members.append('"channel":"global"')
    if args.get("senderName"):
        members.append(_text("senderNameOverride", args["senderName"]))
    return members, ("message", args.get("message"))


def _ban(args: Args, now_ms: int) -> Flat:
    members = [_text("gameId", args.get("gameId"))]
    until = dates.read_end(args.get("expiresAt"))
    if until is None:
        members.append('"durationSeconds":0')  # for ever
    else:
        left_s = int(until.timestamp() - now_ms / 1_000)  # 1 for a ban that has just ended
        members.append(f'"durationSeconds":{max(1, min(INT32_MAX, left_s))}')
        members.append(f'"expiresAt":"{dates.iso(until)}"')
    return members, ("reason", args.get("reason"))


def _teleport(args: Args, now_ms: int) -> Flat:
    return [
        _text("gameId", args.get("gameId")),
        *(f'"{axis}":{_decimal(args.get(axis))}' for axis in "xyz"),
    ], None


def _give(args: Args, now_ms: int) -> Flat:
    members = [_text("gameId", args.get("gameId")), _text("item", args.get("item"))]
    amount = fields.number(args.get("amount"))
    whole = max(-INT32_MAX, min(INT32_MAX, int(1 if amount is None else amount)))
    return [*members, f'"amount":{whole}', _text("quality", args.get("quality"))], None


_PLAYER = _plain("gameId")
_NOTHING = _plain()

FLATTENERS: dict[Action, Callable[[Args, int], Flat]] = {
    **dict.fromkeys((Action.GET_PLAYER, Action.GET_PLAYER_LOCATION, Action.GET_PLAYER_INVENTORY), _PLAYER),
    **dict.fromkeys((Action.GET_PLAYERS, Action.LIST_ITEMS, Action.LIST_ENTITIES), _NOTHING),
    **dict.fromkeys((Action.LIST_LOCATIONS, Action.LIST_BANS, Action.SHUTDOWN), _NOTHING),
    Action.EXECUTE_CONSOLE_COMMAND: _plain(free="command"),
    Action.SEND_MESSAGE: _message,
    Action.GIVE_ITEM: _give,
    Action.TELEPORT_PLAYER: _teleport,
    Action.KICK_PLAYER: _plain("gameId", free="reason"),
    Action.BAN_PLAYER: _ban,
    Action.UNBAN_PLAYER: _PLAYER,
}
"""For each action that is asked of the mod. The others are answered by the relay."""


def _text(name: str, value: Any, limit_bytes: int = ID_BYTES) -> str:
    """A member whose text has no escapes and no inner quotes, cut to `limit_bytes` behind a character."""
    text = value if isinstance(value, str) else fields.line(value)
    text = _UNSCANNABLE.sub(" ", text.replace('"', "'").replace("\\", "/"))
    return f'"{name}":"{text.encode()[: max(0, limit_bytes)].decode("utf-8", "ignore")}"'


def _decimal(value: Any) -> str:
    """A decimal number in millimetre steps, always with a point: the mod's field is a float."""
    metres = float(fields.number(value) or 0)
    return str(round(max(-fields.FARTHEST_M, min(fields.FARTHEST_M, metres)), 3))
