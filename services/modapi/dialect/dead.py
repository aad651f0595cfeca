"""The fixed set of reasons for dead letters, and how modapi makes one."""

from enum import StrEnum, unique
from typing import Any

import orjson

from services.relay.protocol.records import DEAD_EVENT_BYTES, DeadEvent


@unique
class Reason(StrEnum):
    """Why an event became a dead letter. The value labels a metric."""

    UNREADABLE_JSON = "unreadable-json"
    NOT_AN_OBJECT = "not-an-object"
    TOO_MANY_EVENTS = "too-many-events"
    EVENT_TOO_LARGE = "event-too-large"
    TOO_DEEP = "too-deep"
    UNKNOWN_TYPE = "unknown-type"
    EMPTY_MESSAGE = "empty-message"
    NO_PLAYER = "no-player"  # the event has no player record, or one with nothing in it
    UNKNOWN_PLAYER = "unknown-player"  # its identity is gone, and no player seen before has this id
    CONTRADICTORY_PLAYER = "contradictory-player"  # ids of several players, or outside of its records
    NO_PLATFORM_ID = "no-platform-id"  # Takaro drops events of a player without a platform id
    NO_ENTITY = "no-entity"
    RELAY_FAULT = "relay-fault"  # our own code failed on it


def dead(reason: Reason, detail: str, raw: Any) -> DeadEvent:
    """A dead event. `raw` is what the mod sent: bytes, text, or the value that was read from them."""
    if isinstance(raw, str):
        raw = raw[:DEAD_EVENT_BYTES].encode("utf-8", "replace")
    elif not isinstance(raw, bytes):
        try:
            raw = orjson.dumps(raw)
        except TypeError:  # nested too deeply for orjson
            raw = b""
    return DeadEvent(reason.value, detail, raw[:DEAD_EVENT_BYTES])
