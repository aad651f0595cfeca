"""Reads the body of a mod's POST: a batch of events, or one object (register, result).

Good JSON costs one strict read and a check for repeated keys. Broken JSON is repaired event by event, so that
an unreadable event does not affect the others (protocol.md M8). An event beyond a limit becomes a dead letter
or is cut, but is never refused: a mod would send it again for ever (protocol.md M4).
"""

import re
from typing import Any, NamedTuple

import orjson

from services.modapi.dialect.dead import Reason, dead
from services.modapi.dialect.repair import MAX_REPAIR_CHARS, clean, decode, load
from services.relay.protocol.errors import RelayError
from services.relay.protocol.limits import DEFAULT_LIMITS, Limits
from services.relay.protocol.records import DeadEvent

# The start of an event: an object with a key, after a comma or another object. Nothing else has this form,
# because inside a string of good JSON the quote is escaped, and no event has a list of objects. Broken JSON
# in front of it, such as an open string, cannot hide it.
_NEXT_EVENT = re.compile(r'(?:,|(?<=\}))\s*+(?=\{\s*+"[\w-]{1,40}+"\s*+:)')
_ENVELOPE = re.compile(r'\{[^\[{]{0,200}"events"\s*+:\s*+\[?|\[')


class UnreadableBody(RelayError):
    """The body is no JSON object and cannot be repaired. `str(error)` says why."""


class ReadBatch(NamedTuple):
    """The events of one POST. `repaired`: the JSON was broken. Those that cannot be read are dead ones, in
    their places: a repeat is recognised by the order of all events."""

    events: list[dict[str, Any] | DeadEvent]
    repaired: bool


def read_batch(body: bytes, most: int = DEFAULT_LIMITS.batch_events) -> ReadBatch:
    """Reads the first `most` events of `{"events":[…]}`, a list, or one event. The rest becomes one dead
    letter; a mod sends at most 50. Never raises."""
    repaired, rest = False, ""
    try:
        value = _strictly_read(body)
    except ValueError as refusal:
        repaired, text = isinstance(refusal, orjson.JSONDecodeError), clean(body)
        try:
            value, rest = decode(text)
        except ValueError:
            value, rest = None, text
    if type(value) is dict and "events" in value:
        value = value["events"]
    if rest:
        events = _pieces(text, most)
    elif type(value) is list:
        events = value
    else:  # serializers write an empty list as null, {} or "" too
        events = [] if value is None or value == {} or value == "" else [value]
    if len(events) > most:
        detail = f"events: more than {most} in one post, the rest is put aside"
        events = [*events[:most], dead(Reason.TOO_MANY_EVENTS, detail, events[most])]
    if not {dict, DeadEvent}.issuperset(map(type, events)):
        detail = "an event has to be an object"
        events = [
            event if type(event) in (dict, DeadEvent) else dead(Reason.NOT_AN_OBJECT, detail, event)
            for event in events
        ]
    return ReadBatch(events, repaired)


def read_object(body: bytes) -> dict[str, Any]:
    """Reads the one object of a body. Raises UnreadableBody if there is none."""
    try:
        value = _strictly_read(body)
    except ValueError:
        text = clean(body)
        try:
            value, rest = load(text, may_repair=len(text) <= MAX_REPAIR_CHARS)
        except ValueError as error:
            raise UnreadableBody(f"the body is not JSON: {error}") from error
        if rest:
            raise UnreadableBody("the body holds more than one value") from None
    if type(value) is not dict:
        raise UnreadableBody("the body is JSON, but not an object")
    return value


def _strictly_read(body: bytes) -> Any:
    """The value of good JSON. Raises JSONDecodeError, or another ValueError if an object may have a key
    twice, of which a strict reader keeps only the last one.

    A colon follows each key, so the body has more colons than the value written as JSON if a key was lost.
    Colons in texts are in both, unless the body escapes them.
    """
    value = orjson.loads(body)
    try:
        written = orjson.dumps(value)
    except TypeError:
        raise ValueError("nested deeper than can be written") from None
    if written != body and (b"\\u003" in body or body.count(b":") != written.count(b":")):
        raise ValueError("a key may stand twice")
    return value


def _pieces(text: str, most: int) -> list[Any]:
    """The events of a broken batch: the value of each one, or a dead event."""
    envelope = _ENVELOPE.match(text)
    # In a body that is too long to be repaired, good events are still found.
    may_repair = len(text) <= MAX_REPAIR_CHARS
    events: list[Any] = []
    for piece in _NEXT_EVENT.split(text[envelope.end() :] if envelope else text)[: most + 1]:
        piece = piece.strip()
        if not piece.strip(",]}"):
            continue
        try:
            event, rest = load(piece, may_repair)
            events.append(event)
        except ValueError as error:
            rest, complaint = piece, str(error)
        else:
            complaint = "no event starts here"
        if rest:
            events.append(dead(Reason.UNREADABLE_JSON, complaint, rest))
    return events


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
    """Number of levels to which lists and objects are nested: at most 254, which is what orjson writes."""
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(levels, value.values() if isinstance(value, dict) else value), default=0)


def shortened(value: Any, chars: int) -> Any:
    """The value with each text cut to `chars` characters. It recurses: the nesting must be bounded."""
    if isinstance(value, str):
        return value[:chars]
    if isinstance(value, dict):
        return {name[:chars]: shortened(one, chars) for name, one in value.items()}
    if isinstance(value, list):
        return [shortened(one, chars) for one in value]
    return value
