"""Takaro's requests to one instance, from arrival to answer: on the socket that asked, and in time."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from services.relay.protocol.limits import DEFAULT_LIMITS
from services.relay.protocol.operation_ids import new_operation_id
from services.relay.protocol.records import Command, Outcome
from services.relay.protocol.vocabulary import ACTION_RULES, Action, ActionKind
from services.relay.service.clocks import wall_s
from services.relay.service.faults import FaultKind
from services.relay.service.logs import InstanceLogger
from services.uplink.connection.socket_writer import SocketWriter
from services.uplink.reporting.metrics import ANSWERED, OWN, TOO_LATE, UplinkMetrics
from services.uplink.requests.command_queue import CommandQueue
from services.uplink.requests.mirror.mirror import Mirror
from services.uplink.requests.mod_contact import Contact
from services.uplink.requests.reads import Reads
from services.uplink.takaro import failures, frames
from services.uplink.takaro.answers import OWN_ANSWERS, payload_for, reachability
from services.uplink.takaro.failures import Cause, CommandFailure
from services.uplink.takaro.requests import BadRequest, read_request

logger = logging.getLogger(__name__)

Answer = tuple[bytes, str]
"""A response payload as JSON, and where it came from: a label of the metric."""

Work = Callable[[Action, dict[str, Any]], Awaitable[Answer]]


class RequestHandler:
    """Answers the requests to one instance, each of them whatever happens."""

    def __init__(
        self,
        slug: str,
        command_queue: CommandQueue,
        reads: Reads,
        mirror: Mirror,
        contact: Contact,
        metrics: UplinkMetrics,
        most_bytes: int = DEFAULT_LIMITS.frame_out_bytes,
    ) -> None:
        self._logger = InstanceLogger(logger, slug)
        self._command_queue = command_queue
        self._reads = reads
        self._mirror = mirror
        self._contact = contact
        self._metrics = metrics
        self._faults = metrics.service.faults
        self._most_bytes = most_bytes
        self._refused_from_s = math.inf
        self._tasks: set[asyncio.Task[None]] = set()

    def leave(self, refused_from_s: float) -> None:
        """New requests that the mod would have to answer are refused from that moment on."""
        self._refused_from_s = refused_from_s

    def close(self) -> None:
        """Ends what is still worked on. Takaro is told, on sockets that are open."""
        for task in self._tasks:
            task.cancel()

    def take(self, writer: SocketWriter, request: frames.Request) -> asyncio.Task[None] | None:
        """A request has arrived on `writer`. What is at hand is answered within this turn of the loop.

        Returns what works on the answer if that takes longer.
        """
        try:
            action, args = read_request(request.action, request.args)
        except BadRequest as error:
            self._metrics.bad_requests.inc()
            writer.send(frames.error_response(request.request_id, str(error)))
            return None
        except Exception as error:
            self._faults.caught(self._logger, FaultKind.REQUEST, error)
            writer.send(frames.error_response(request.request_id, failures.fault().text))
            return None
        if not writer.open:  # it crossed our close frame: nobody could hear an answer, so nothing is done
            self._metrics.answered(action, TOO_LATE)
            return None
        opened = _Request(writer, request.request_id, action, args)
        try:
            return self._take(opened)
        except Exception as error:
            self._faults.caught(self._logger, FaultKind.REQUEST, error)
            self._fail(opened, failures.fault())
            return None

    def _take(self, request: "_Request") -> asyncio.Task[None] | None:
        action = request.action
        kind = ACTION_RULES[action].kind
        if kind is ActionKind.OURS:
            self._metrics.answered(action, OWN)
            request.writer.send(frames.response(request.id, self._own_answer(action)))
        elif kind is ActionKind.READ and (known := self._reads.known(action, request.args)):
            payload, source = known
            self._metrics.answered(action, source)
            request.writer.send(self._response(request.id, payload))
        elif time.monotonic() >= self._refused_from_s:
            self._fail(request, failures.closing_times())
        else:
            work = self._write if kind is ActionKind.WRITE else self._reads.found
            return self._begin(request, work)
        return None

    def _begin(self, request: "_Request", work: Work) -> asyncio.Task[None]:
        task = asyncio.create_task(self._answered(request, work))
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, request))
        return task

    def _ended(self, request: "_Request", task: asyncio.Task[None]) -> None:
        """Here and not in the task: one that is cancelled before its first step does nothing."""
        self._tasks.discard(task)
        if task.cancelled():
            self._fail(request, failures.cut_short())

    async def _answered(self, request: "_Request", work: Work) -> None:
        try:
            payload, label = await work(request.action, request.args)
            self._answer(request, self._response(request.id, payload), label)
        except Exception as error:
            self._faults.caught(self._logger, FaultKind.REQUEST, error)
            self._fail(request, failures.fault())

    def _own_answer(self, action: Action) -> Any:
        if action is Action.TEST_REACHABILITY:
            return reachability(self._contact.silent_s, self._contact.store_away)
        return OWN_ANSWERS[action]

    async def _write(self, action: Action, args: dict[str, Any]) -> Answer:
        """Has the mod do it. The answer is the result, or what is known of its fate."""
        result = await self._command_queue.ask(Command(new_operation_id(action), action, args))
        outcome = Outcome(error=result.text) if isinstance(result, CommandFailure) else result
        if not outcome.error:
            with self._faults.kept(self._logger, FaultKind.LISTENER):
                self._mirror.done(action, args, wall_s())
        return orjson.dumps(payload_for(action, args, outcome)), _label(result)

    def _fail(self, request: "_Request", failure: CommandFailure) -> None:
        """Answers with an error, or with what stands for one that Takaro must not hear."""
        action, args = request.action, request.args
        label: str = failure.cause
        try:
            if ACTION_RULES[action].kind is ActionKind.READ:
                payload, label = self._reads.instead(action, args, failure)
                frame = self._response(request.id, payload)
            else:
                payload = orjson.dumps(payload_for(action, args, Outcome(error=failure.text)))
                frame = frames.response_json(request.id, payload)
        except Exception as error:
            self._faults.caught(self._logger, FaultKind.REQUEST, error)
            frame = frames.error_response(request.id, failure.text)
        self._answer(request, frame, label)

    def _response(self, request_id: str, payload: bytes) -> bytes:
        if len(payload) <= self._most_bytes:
            return frames.response_json(request_id, payload)
        self._metrics.beyond("frame_out_bytes")
        text = f"the game server's answer is too large: {len(payload)} bytes"
        return frames.error_response(request_id, text)

    def _answer(self, request: "_Request", frame: bytes, label: str) -> None:
        action, writer = request.action, request.writer
        self._metrics.request_seconds.labels(action).observe(time.monotonic() - request.begun_s)
        if writer.open:
            writer.send(frame)
        self._metrics.answered(action, label if writer.open else TOO_LATE)


@dataclass(frozen=True, slots=True)
class _Request:
    """One request of Takaro's while it is worked on."""

    writer: SocketWriter
    id: str
    action: Action
    args: dict[str, Any]
    begun_s: float = field(default_factory=time.monotonic)


def _label(result: Outcome | CommandFailure) -> str:
    if isinstance(result, CommandFailure):
        return result.cause
    return Cause.REFUSED if result.error else ANSWERED
