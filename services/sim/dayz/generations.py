"""The three generations of the mod, and how each reads operations (protocol.md M13)."""

import re
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Any

import orjson

STRING_LIMIT_BYTES = 1023
"""The engine cuts every JSON string that it reads at this length, also `argsJson` (protocol.md M14)."""

_INT32 = range(-(2**31), 2**31)


@unique
class Generation(StrEnum):
    """The name says how a generation reads `argsJson`."""

    FLAT = "flat"  # into a flat class for every action; a nested object fails
    MIXED = "mixed"  # the same, but it scans sendMessage and giveItem
    SCANNER = "scanner"  # scans the text, parses nothing


@dataclass(frozen=True, slots=True)
class Operation:
    """One entry of a poll answer, after the engine has cut its strings."""

    operation_id: str
    action: str
    args_json: str


class UnreadableAnswer(Exception):
    """The mod cannot read an answer or its arguments. The text is what it reports."""


# What each action's class declares. Unknown keys are ignored, a wrong type fails, a missing key keeps its
# default.
_PLAYER: dict[str, type] = {"gameId": str}
_FIELDS: dict[str, dict[str, type]] = {
    "getPlayer": _PLAYER,
    "getPlayerLocation": _PLAYER,
    "getPlayerInventory": _PLAYER,
    "unbanPlayer": _PLAYER,
    "sendMessage": {"message": str, "channel": str, "recipientGameId": str, "senderNameOverride": str},
    "kickPlayer": {"gameId": str, "reason": str},
    "banPlayer": {"gameId": str, "reason": str, "durationSeconds": int},
    "teleportPlayer": {"gameId": str, "x": float, "y": float, "z": float},
    "giveItem": {"gameId": str, "item": str, "amount": int, "quality": str},
    "executeConsoleCommand": {"command": str},
}
_SCANNED_FIELDS: dict[str, dict[str, type]] = {
    **_FIELDS,
    "sendMessage": {"message": str, "gameId": str, "senderNameOverride": str},
    "banPlayer": {"gameId": str, "reason": str, "expiresAt": str},
}
_LAST_OCCURRENCE = frozenset({"reason", "x", "y", "z", "expiresAt"})
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def read_operations(body: bytes) -> list[Operation]:
    """All operations of a poll answer. Raises UnreadableAnswer for whatever the engine's parser refuses."""
    match _parse(body):
        case {"operations": list(entries)}:
            return [_read_operation(entry) for entry in entries]
    raise UnreadableAnswer("poll answer has no list of operations")


def read_args(generation: Generation, action: str, args_json: str) -> dict[str, Any]:
    """The arguments as this generation reads them, with all fields. Raises UnreadableAnswer."""
    if action not in _FIELDS:
        return {}
    if generation is Generation.SCANNER or (
        generation is Generation.MIXED and action in ("sendMessage", "giveItem")
    ):
        args = {name: _scan(args_json, name, kind) for name, kind in _SCANNED_FIELDS[action].items()}
    else:
        args = _read_flat_class(args_json, _FIELDS[action])
    if action == "sendMessage":
        args["gameId"] = args.pop("recipientGameId", "") or args.get("gameId", "")
    return args


def _parse(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UnreadableAnswer(f"JSON ERROR\n{error}") from error


def _read_operation(entry: Any) -> Operation:
    # The engine reads uninitialised memory for a missing field (protocol.md M14). Here it is an error.
    match entry:
        case {"operationId": str(operation_id), "action": str(action), "argsJson": str(args_json)}:
            return Operation(_cut(operation_id), _cut(action), _cut(args_json))
    raise UnreadableAnswer("an operation lacks operationId, action or argsJson as strings")


def _cut(value: str) -> str:
    if len(value) * 4 <= STRING_LIMIT_BYTES:
        return value
    return value.encode()[:STRING_LIMIT_BYTES].decode(errors="ignore")


def _read_flat_class(args_json: str, fields: dict[str, type]) -> dict[str, Any]:
    root = _parse(args_json.encode())
    if not isinstance(root, dict):
        raise UnreadableAnswer("JSON ERROR\nargs are not an object")
    if any(isinstance(value, dict | list) for value in root.values()):
        raise UnreadableAnswer("JSON ERROR\nnested object in args")
    return {name: _flat_value(root, name, kind) for name, kind in fields.items()}


def _flat_value(root: dict[str, Any], name: str, kind: type) -> Any:
    if name not in root:
        return kind()
    value = root[name]
    if kind is str and isinstance(value, str):
        return _cut(value)
    if kind is int and type(value) is int and value in _INT32:
        return value
    if kind is float and type(value) in (int, float):
        return float(value)
    raise UnreadableAnswer(f"JSON ERROR\nwrong type for {name}")


def _scan(text: str, name: str, kind: type) -> Any:
    """The value that a search for `"name":` finds: no space may follow the colon, escapes stay escapes."""
    key = f'"{name}":"' if kind is str else f'"{name}":'
    start = text.rfind(key) if name in _LAST_OCCURRENCE else text.find(key)
    if start < 0:
        return kind()
    start += len(key)
    if kind is str:
        return text[start:].partition('"')[0]
    number = _NUMBER.match(text, start)
    return kind(float(number[0])) if number else kind()
