"""What must be true of everything that is read. Hypothesis, the fuzzer and its corpus use the same checks."""

import json
import math
import time
from typing import Any

import orjson

from services.modapi.dialect.bodies import UnreadableBody, bounded, read_batch, read_object
from services.modapi.dialect.dead import Reason
from services.modapi.dialect.events import map_event
from services.modapi.dialect.flatten import FLATTENERS, ID_BYTES, flatten
from services.modapi.dialect.results import map_result
from services.modapi.dialect.roster import Roster
from services.relay.protocol.limits import Limits
from services.relay.protocol.records import DEAD_EVENT_BYTES, DeadEvent
from services.relay.protocol.vocabulary import Action
from services.sim.dayz.generations import Generation, read_args, read_operations
from services.uplink.takaro.answer_rules import answer_fault, is_error
from services.uplink.takaro.answers import payload_for
from services.uplink.takaro.frames import Request, error_response, game_event, read_frame, response
from services.uplink.takaro.requests import BadRequest, read_request
from tests.support.rosters import saved
from tests.support.takaro_rules import conclude, event_error

NOW = "2026-05-01T12:00:00.000Z"
NOW_MS = 1_777_636_800_000
WITHIN_S = 1.0
"""CPU time for one body of some KB. Broken JSON takes about 1 s for each MB."""

LONGEST_TEXT = 4_096 + 250  # a message with the weapon behind it
LONGEST_RESULT = 16_000
LIMITS = Limits()


def reading(body: bytes) -> list[dict[str, Any]]:
    """Any body is read in time, and what is read can be written as JSON."""
    begun_s = time.process_time()
    batch = read_batch(body)
    try:
        assert type(read_object(body)) is dict
    except UnreadableBody as error:
        assert str(error)
    assert time.process_time() - begun_s < WITHIN_S, f"{len(body)} bytes took too long"
    read = [event for event in batch.events if type(event) is dict]
    for event in read:
        strict(orjson.dumps(event))
    for letter in batch.events:
        if type(letter) is not dict:
            assert isinstance(letter, DeadEvent)
            assert letter.reason in set(Reason) and len(letter.raw) <= DEAD_EVENT_BYTES
    known = strictly_read(body)
    if known is not None:
        assert not batch.repaired
        assert read == [event for event in known if type(event) is dict]
    return read


def events(body: bytes) -> None:
    """For any post of a mod, Takaro accepts each event that goes to it, and no event has harmful text."""
    roster = Roster()
    for raw in reading(body):
        fit = bounded(raw, orjson.dumps(raw), LIMITS)
        fate = fit if isinstance(fit, DeadEvent) else map_event(fit, roster, NOW)
        if isinstance(fate, DeadEvent):
            assert fate.reason in set(Reason) and len(fate.raw) <= DEAD_EVENT_BYTES
            continue
        sent = strict(game_event(fate))
        assert event_error(sent["payload"]) is None
        harmless(sent, LONGEST_TEXT)
    for player in saved(roster).values():
        harmless(strict(player) if player else None, 200)


def answer(action: Action, body: bytes) -> None:
    """For any answer of a mod, Takaro gets an answer of the right shape, or an error that it shows."""
    try:
        read = read_object(body)
    except UnreadableBody:
        return
    outcome = map_result(action, read.get("ok"), read.get("result"), read.get("error"))
    payload = payload_for(action, {"gameId": "1"}, outcome)
    assert answer_fault(action, payload) == ""
    sent = strict(response("id", orjson.dumps(payload)))["payload"]
    value, error = conclude(action.value, sent)
    assert error is None or is_error(sent)
    harmless(sent, LONGEST_RESULT, breaks=action is Action.EXECUTE_CONSOLE_COMMAND)


def frame(data: bytes) -> None:
    """Any frame of Takaro is read, and each request has arguments or is refused."""
    read = read_frame(data)
    if isinstance(read, Request):
        try:
            action, args = read_request(read.action, read.args)
        except BadRequest as refusal:
            harmless(strict(error_response(read.request_id, str(refusal)))["payload"], 400)
        else:
            arguments(action, args)


def arguments(action: Action, args: Any) -> None:
    """For any request of Takaro that goes to a mod, each generation reads the same arguments, and those that
    were meant."""
    try:
        _, canonical = read_request(action.value, args)
    except BadRequest:
        return
    if action not in FLATTENERS:
        return
    flat = flatten(action, canonical, NOW_MS)
    assert len(flat.encode()) < 1_000
    assert "\\" not in flat and not any(char < " " or "\x7f" <= char < "\xa0" for char in flat)
    strict(flat.encode())
    poll = {"operations": [{"operationId": "1", "action": action.value, "argsJson": flat}]}
    (operation,) = read_operations(orjson.dumps(poll))
    assert operation.args_json == flat
    for generation in Generation:
        _arrives(canonical, read_args(generation, action.value, operation.args_json), flat)


def _arrives(canonical: dict[str, Any], read: dict[str, Any], flat: str) -> None:
    """Checks that a mod has read what was meant."""
    meant = {**canonical, "gameId": canonical.get("gameId", canonical.get("recipient", ""))}
    for name, value in read.items():
        if name in ("gameId", "item", "amount"):  # cut or changed, these would name another thing
            assert value == meant[name], name
        elif name in ("x", "y", "z"):
            assert math.isclose(value, meant[name], abs_tol=0.0006), name
        elif name in ("message", "reason", "command", "quality", "senderNameOverride"):
            whole = _as_shown(str(meant.get("senderName" if name == "senderNameOverride" else name, "")))
            assert whole.startswith(value), name
            assert value == whole or _is_full(name, value, flat), f"{name} was cut for no reason"
        elif name == "expiresAt":
            assert value == meant.get("expiresAt", "")
        elif name == "durationSeconds":
            assert (value == 0) == ("expiresAt" not in canonical)
        else:
            assert name == "channel" and value == "global"


def _is_full(name: str, value: str, flat: str) -> bool:
    if name in ("quality", "senderNameOverride"):
        return len(value.encode()) > ID_BYTES - 4
    return len(flat.encode()) > 995


def _as_shown(text: str) -> str:
    text = text.replace('"', "'").replace("\\", "/")
    return "".join(" " if char < " " or "\x7f" <= char < "\xa0" else char for char in text)


def harmless(value: Any, longest: int, *, breaks: bool = False) -> None:
    """Checks that no text is too long or moves a cursor, and that each number is finite."""
    if isinstance(value, str):
        assert len(value) <= longest
        allowed = "\n\t" if breaks else ""
        bad = [char for char in value if char not in allowed and (char < " " or "\x7f" <= char < "\xa0")]
        assert not bad, f"control characters: {bad}"
        assert not any("\ud800" <= char <= "\udfff" for char in value)
    elif isinstance(value, float):
        assert math.isfinite(value)
    elif isinstance(value, dict):
        for name, one in value.items():
            harmless(name, 200)
            harmless(one, longest, breaks=breaks)
    elif isinstance(value, list):
        for one in value:
            harmless(one, longest, breaks=breaks)


def strict(text: bytes) -> Any:
    """Reads JSON as JSON.parse does, in UTF-8 and without NaN, and refuses a repeated key."""
    return json.loads(text.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_unique)


def strictly_read(body: bytes) -> list[Any] | None:
    """The events of a body that another, strict parser can read and write again; None if it cannot."""
    try:
        value = strict(body)
        # No number beyond 64 bits or 1e308, no half of a surrogate pair: JSON allows them, its readers do
        # not.
        orjson.dumps(value)
        json.dumps(value, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        return None
    if body.startswith((b"\xef\xbb\xbf",)):
        return None
    if type(value) is dict and "events" in value:
        value = value["events"]
    if type(value) is list:
        return value
    return [] if value in (None, "", {}) else [value]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(value := dict(pairs)) < len(pairs):
        raise ValueError("a key is repeated")
    return value


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")
