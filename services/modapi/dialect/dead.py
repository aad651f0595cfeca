"""Why an event is put aside: the fixed set of reasons, and how such an event is kept."""

from enum import StrEnum, unique
from typing import Any

import orjson

from services.relay.protocol.records import DeadEvent

RAW_BYTES = 2_000
"""How much of a dead event is kept: enough to see what is wrong with it."""


@unique
class Reason(StrEnum):
    """The reasons, each one a metric label."""

    UNREADABLE_JSON = "unreadable-json"
    NOT_AN_OBJECT = "not-an-object"
    TOO_MANY_EVENTS = "too-many-events"
    EVENT_TOO_LARGE = "event-too-large"
    TOO_DEEP = "too-deep"
    UNKNOWN_TYPE = "unknown-type"
    EMPTY_MESSAGE = "empty-message"
    NO_PLAYER = "no-player"  # the event has no player record, or one with nothing in it
    UNKNOWN_PLAYER = "unknown-player"  # the identity is gone and nobody seen before fits it
    CONTRADICTORY_PLAYER = "contradictory-player"  # its ids are of several players, or not where they belong
    NO_PLATFORM_ID = "no-platform-id"  # Takaro loses each event of a player by whom it cannot be found
    NO_ENTITY = "no-entity"
    RELAY_FAULT = "relay-fault"  # our own code failed on it


REASONS = tuple(reason.value for reason in Reason)


def dead(reason: Reason, detail: str, raw: Any) -> DeadEvent:
    """Put `raw` aside: the bytes or the text as they came, or the value read from them."""
    if isinstance(raw, str):
        kept = raw[:RAW_BYTES].encode("utf-8", "replace")
    elif isinstance(raw, bytes):
        kept = raw
    else:
        try:
            kept = orjson.dumps(raw)
        except TypeError:  # nested deeper than can be written
            kept = b""
    return DeadEvent(reason.value, detail, kept[:RAW_BYTES])
