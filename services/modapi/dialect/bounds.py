"""The limits of one event: bytes, levels, characters of a text.

An event beyond them becomes a dead letter or is cut, but is never refused: a mod would send it again for ever
(protocol.md M4).
"""

from typing import Any

from services.modapi.dialect.dead import Reason, dead
from services.relay.protocol.limits import Limits
from services.relay.protocol.records import DeadEvent


def bounded(raw: dict[str, Any], data: bytes, limits: Limits) -> dict[str, Any] | DeadEvent:
    """The event `raw` with long texts cut, or a dead event with the reason. `data` is the event as JSON."""
    if len(data) > limits.event_bytes:
        detail = f"it has {len(data)} bytes, {limits.event_bytes} are allowed"
        return dead(Reason.EVENT_TOO_LARGE, detail, data)
    if data.count(b"{") + data.count(b"[") > limits.event_levels and levels(raw) > limits.event_levels:
        return dead(Reason.TOO_DEEP, f"it is nested deeper than {limits.event_levels} levels", data)
    if len(data) > limits.text_chars:
        cut: dict[str, Any] = shortened(raw, limits.text_chars)
        return cut
    return raw


def levels(value: Any) -> int:
    """Number of levels to which lists and objects are nested."""
    deepest, rest = 0, [(value, 1)]
    while rest:
        value, level = rest.pop()
        if isinstance(value, dict | list):
            deepest = max(deepest, level)
            inner = value.values() if isinstance(value, dict) else value
            rest += [(one, level + 1) for one in inner]
    return deepest


def shortened(value: Any, chars: int) -> Any:
    """The value with each text cut to `chars` characters. It recurses: the nesting must be bounded."""
    if isinstance(value, str):
        return value[:chars]
    if isinstance(value, dict):
        return {name[:chars]: shortened(one, chars) for name, one in value.items()}
    if isinstance(value, list):
        return [shortened(one, chars) for one in value]
    return value
