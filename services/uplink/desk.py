"""Takaro's requests to one instance, from arrival to answer: on the socket that asked, and in time."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from services.relay.limits import DEFAULT_LIMITS
from services.relay.operation_ids import new_operation_id
from services.relay.records import Command, Outcome
from services.relay.vocabulary import ACTION_RULES, Action, Kind
from services.uplink.asking import Asking
from services.uplink.metrics import ANSWERED, OWN, TOO_LATE, Metrics
from services.uplink.mirror.state import Mirror
from services.uplink.reads import Reads
from services.uplink.takaro import frames
from services.uplink.takaro.answers import OWN_ANSWERS, payload_for, reachability
from services.uplink.takaro.contact import Contact
from services.uplink.takaro.failures import Cause, Failure
from services.uplink.takaro.requests import BadRequest, read_request
from services.uplink.wire import Wire


class Desk:
    """Answers the requests to one instance."""

    def __init__(
        self,
        asking: Asking,
        reads: Reads,
        mirror: Mirror,
        contact: Contact,
        metrics: Metrics,
        most_bytes: int = DEFAULT_LIMITS.frame_out_bytes,
    ) -> None:
        self._asking = asking
        self._reads = reads
        self._mirror = mirror
        self._contact = contact
        self._metrics = metrics
        self._most_bytes = most_bytes
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, wire: Wire, request: frames.Request) -> asyncio.Task[None] | None:
        """A request has arrived on `wire`. What is at hand is answered within this turn of the loop.

        Returns what works on the answer if that takes longer.
        """
        try:
            action, args = read_request(request.action, request.args)
        except BadRequest as error:
            self._metrics.bad_requests.inc()
            wire.send(frames.error_response(request.request_id, str(error)))
            return None
        kind = ACTION_RULES[action].kind
        if kind is Kind.OURS:
            self._metrics.answered(action, OWN)
            wire.send(frames.response(request.request_id, self._own_answer(action)))
        elif kind is Kind.WRITE:
            return self._begin(self._write(wire, request.request_id, action, args))
        elif known := self._reads.known(action, args):
            payload, source = known
            self._metrics.answered(action, source)
            wire.send(self._response(request.request_id, payload))
        else:
            return self._begin(self._read(wire, request.request_id, action, args))
        return None

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _own_answer(self, action: Action) -> Any:
        if action is Action.TEST_REACHABILITY:
            return reachability(self._contact.silent_s, self._contact.store_away)
        return OWN_ANSWERS[action]

    async def _read(self, wire: Wire, request_id: str, action: Action, args: dict[str, Any]) -> None:
        begun_s = time.monotonic()
        payload, source = await self._reads.found(action, args)
        self._answer(wire, action, self._response(request_id, payload), source, begun_s)

    async def _write(self, wire: Wire, request_id: str, action: Action, args: dict[str, Any]) -> None:
        """Has the mod do it, and answers in any case: with the result, or with what is known of its fate."""
        begun_s = time.monotonic()
        result = await self._asking.ask(Command(new_operation_id(action), action, args))
        outcome = Outcome(error=result.text) if isinstance(result, Failure) else result
        if not outcome.error:
            self._mirror.done(action, args, time.time())
        payload = payload_for(action, args, outcome)
        self._answer(wire, action, frames.response(request_id, payload), _label(result), begun_s)

    def _response(self, request_id: str, payload: bytes) -> bytes:
        if len(payload) <= self._most_bytes:
            return frames.response_json(request_id, payload)
        self._metrics.beyond("frame_out_bytes")
        text = f"the game server's answer is too large: {len(payload)} bytes"
        return frames.error_response(request_id, text)

    def _answer(self, wire: Wire, action: Action, frame: bytes, label: str, begun_s: float) -> None:
        self._metrics.request_seconds.labels(action).observe(time.monotonic() - begun_s)
        if wire.open:
            wire.send(frame)
        self._metrics.answered(action, label if wire.open else TOO_LATE)


def _label(result: Outcome | Failure) -> str:
    if isinstance(result, Failure):
        return result.cause
    return Cause.REFUSED if result.error else ANSWERED
