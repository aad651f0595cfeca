"""The payloads that answer requests: from the mod's result, or made by the relay itself."""

from typing import Any

from services.relay.protocol.records import Outcome
from services.relay.protocol.vocabulary import SILENT_AFTER_S, Action
from services.uplink.takaro.answer_rules import ANSWER_RULES, answer_fault, is_error
from services.uplink.takaro.failures import NEVER_CONTACTED
from services.uplink.takaro.frames import error_payload

_TRANSPARENT_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAAC0lEQVR42mNgAAIAAAUAAen63NgAAAAASUVORK5CYII="
)

OWN_ANSWERS: dict[Action, Any] = {
    # Takaro demands the five sizes of a disabled map too (protocol.md T14).
    Action.GET_MAP_INFO: {
        "enabled": False,
        "mapBlockSize": 0,
        "maxZoom": 0,
        "mapSizeX": 0,
        "mapSizeY": 0,
        "mapSizeZ": 0,
    },
    # Takaro passes the string on as an image without a check. An empty picture shows as an empty map; an
    # error would be one failed call for each tile in view.
    Action.GET_MAP_TILE: _TRANSPARENT_PNG,
}
"""Answers that the relay gives by itself. They never change; a sender must not alter them."""

_OF_A_PLAYER = (Action.GET_PLAYER, Action.GET_PLAYER_LOCATION, Action.GET_PLAYER_INVENTORY)


def reachability(silent_s: float | None, store_away: bool) -> dict[str, Any]:
    """The answer to testReachability. `silent_s` (None: never called) must not grow while Redis is away:
    nobody knows then whether the mod calls, and "unreachable" makes Takaro set all players offline."""
    if silent_s is None:
        if store_away:
            return {"connectable": True, "reason": "the relay's store is away: nothing is known of the mod"}
        return {"connectable": False, "reason": NEVER_CONTACTED}
    if silent_s > SILENT_AFTER_S:
        return {"connectable": False, "reason": f"the mod has not contacted the relay for {silent_s:.0f} s"}
    return {"connectable": True, "reason": ""}


def payload_for(action: Action, args: dict[str, Any], outcome: Outcome) -> Any:
    """A payload for `action`, which may not be testReachability, that Takaro accepts: it is never null, and a
    value that Takaro would refuse becomes an error."""
    if action in OWN_ANSWERS:
        return OWN_ANSWERS[action]
    if ANSWER_RULES[action] is object:
        return error_payload(outcome.error) if outcome.error else {}
    fault = outcome.error or _fault(action, args, outcome.value)
    if not fault:
        return outcome.value
    if (
        action is Action.EXECUTE_CONSOLE_COMMAND
    ):  # without these fields Takaro shows "bad data" and not the text
        return {"rawResult": "", "success": False, **error_payload(fault)}
    return error_payload(fault)


def _fault(action: Action, args: dict[str, Any], value: Any) -> str:
    if value is None and action in _OF_A_PLAYER:
        return f"no such player: {args.get('gameId', '')}"
    if value is None:
        return "the game server gave no answer"
    if is_error(value):  # Takaro reads it as an error, whatever else is in it
        return f"the game server answered an error: {value['error']}"
    wrong = answer_fault(action, value)
    return f"the game server's answer cannot be used: {wrong}" if wrong else ""
