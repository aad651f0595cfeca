"""Answers Takaro's requests to one instance, in time, on the socket that asked."""

import asyncio
import math
import time
from typing import Any, NamedTuple

import orjson

from services.relay.protocol.command_states import new_operation_id
from services.relay.protocol.ends import CommandEnd
from services.relay.protocol.records import Command
from services.relay.protocol.vocabulary import ACTION_KINDS, Action, ActionKind
from services.relay.service.clocks import boottime_s
from services.relay.service.faults import FaultKind
from services.relay.service.logs import InstanceLogger
from services.uplink.connection.closing_times import LAST_ANSWERS_S
from services.uplink.connection.takaro_socket import TakaroSocket
from services.uplink.reporting.metrics import FAILED_COMMANDS, OWN, TOO_LATE
from services.uplink.requests.command_queue import CommandQueue
from services.uplink.requests.mirror.mirror import Mirror
from services.uplink.requests.reads import Reads
from services.uplink.takaro import failures, frames
from services.uplink.takaro.answers import OWN_ANSWERS, payload_for, reachability
from services.uplink.takaro.failures import CommandFailure
from services.uplink.takaro.requests import BadRequest, read_request

MAX_OPEN = 5_000  # requests of one instance that wait at once; a burst of Takaro's has two for each player

MAX_REFUSED_ACTIONS = 100  # actions whose refused answers are logged: Takaro may invent any number


class RequestHandler:
    """Gives each request exactly one answer, whatever happens. `most_bytes` limits the size of an answer."""

    def __init__(self, command_queue: CommandQueue, reads: Reads, mirror: Mirror, most_bytes: int) -> None:
        self._loop = asyncio.get_running_loop()
        slug = command_queue.lease.slug
        self._logger = InstanceLogger(__name__, slug)
        self._command_queue = command_queue
        self._reads = reads
        self._mirror = mirror
        metrics = self._metrics = command_queue.metrics
        self._failed = metrics.instances.row(slug).values[FAILED_COMMANDS]
        self._faults = metrics.service.faults
        self._most_bytes = most_bytes
        self.refused_from_s = math.inf
        """From then on, on time.monotonic(), new requests that the mod would have to answer are refused."""
        self._open: dict[asyncio.Task[None], _Request] = {}
        self._refused_actions: set[str] = set()

    def close(self) -> None:
        """Ends the requests that are still open. Takaro gets an error on each socket that is open."""
        for task in self._open:
            task.cancel()

    def open_on(self, socket: TakaroSocket) -> list[asyncio.Task[None]]:
        """The tasks that answer the requests of one socket."""
        return [task for task, request in self._open.items() if request.socket is socket]

    async def cut_short(self, socket: TakaroSocket) -> None:
        """Answers each open request of a socket with how far it came."""
        if not socket.open:
            return
        if tasks := self.open_on(socket):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=LAST_ANSWERS_S)
        socket.flush()

    def refused(self, action: str, text: str) -> None:
        """Takaro refused an answer. Logged once for each action: Takaro asks again each 30 s. Not logged
        before the mod's first call: the relay answers with errors then, rightly."""
        self._metrics.error_frames.labels("answer").inc()
        logged = self._refused_actions
        if self._command_queue.contact.silent_s is None or action in logged:
            return
        if len(logged) < MAX_REFUSED_ACTIONS:
            logged.add(action)
            self._logger.warning("Takaro cannot use the answer to %s: %s", action, text)

    def take(self, socket: TakaroSocket, frame: frames.Request) -> None:
        """Takes a request that arrived on the socket. Answers at once if the answer is known."""
        try:
            action, args = read_request(frame.action, frame.args)
        except BadRequest as error:
            self._metrics.bad_requests.inc()
            socket.send(frames.error_response(frame.request_id, str(error)))
            return
        except Exception as error:
            self._faults.caught(self._logger, FaultKind.REQUEST, error)
            socket.send(frames.error_response(frame.request_id, failures.FAULT.error))
            return
        request = _Request(socket, frame.request_id, action, args, time.monotonic())
        kind = ACTION_KINDS[action]
        try:
            if not socket.open:  # it crossed our close frame: Takaro receives no answer, so nothing is done
                self._answer(request, b"", TOO_LATE)
                return
            if kind is ActionKind.OURS:
                contact = self._command_queue.contact
                own = OWN_ANSWERS.get(action) or reachability(contact.silent_s, contact.store_away)
                self._answer(request, orjson.dumps(own), OWN)
                return
            if kind is ActionKind.READ and (known := self._reads.known_answer(action, args)):
                self._answer(request, *known)
                return
            if request.begun_s >= self.refused_from_s:
                self._fail(request, failures.RELAY_STOPS)
                return
            if len(self._open) >= MAX_OPEN:  # other limits count what is in Redis, and reads that differ
                self._metrics.beyond("open_commands")
                self._fail(request, failures.QUEUE_FULL)
                return
            task = self._loop.create_task(self._work(request))
            self._open[task] = request
            task.add_done_callback(self._ended)
        except Exception as error:
            self._faults.caught(self._logger, FaultKind.REQUEST, error)
            self._fail(request, failures.FAULT)

    async def _work(self, request: "_Request") -> None:
        """Answers a request after the mod has, or when its time is up."""
        action, args = request.action, request.args
        try:
            if ACTION_KINDS[action] is ActionKind.READ:
                self._answer(request, *await self._reads.find_answer(action, args))
                return
            result = await self._command_queue.ask(Command(new_operation_id(action), action, args))
            if not result.error:
                with self._faults.contain(self._logger, FaultKind.LISTENER):
                    self._mirror.take_write(action, args, boottime_s())
            self._answer(request, orjson.dumps(payload_for(action, args, result)), result.end)
        except Exception as error:
            self._faults.caught(self._logger, FaultKind.REQUEST, error)
            self._fail(request, failures.FAULT)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Answers a request whose task was cancelled. The task itself cannot: it may never have begun."""
        request = self._open.pop(task)
        if task.cancelled():
            self._fail(request, failures.CUT_SHORT)
        self._metrics.request_seconds_of[request.action].observe(time.monotonic() - request.begun_s)

    def _fail(self, request: "_Request", failure: CommandFailure) -> None:
        """Answers with an error, or with a made-up position where Takaro must not get an error."""
        action, args = request.action, request.args
        label: str = failure.cause
        try:
            if ACTION_KINDS[action] is ActionKind.READ:
                payload, label = self._reads.fallback_answer(action, args, failure)
            else:
                payload = orjson.dumps(payload_for(action, args, failure))
        except Exception as error:
            self._faults.caught(self._logger, FaultKind.REQUEST, error)
            payload = orjson.dumps(frames.error_payload(failure.error))
        self._answer(request, payload, label)

    def _answer(self, request: "_Request", payload: bytes, label: str) -> None:
        """Sends the answer and counts it. Takaro cannot receive it if the socket is not open any more."""
        socket = request.socket
        if len(payload) > self._most_bytes:
            self._metrics.beyond("frame_out_bytes")
            text = f"the game server's answer is too large: {len(payload)} bytes"
            payload = orjson.dumps(frames.error_payload(text))
        if socket.open:
            socket.send(frames.response(request.id, payload))
        else:
            label = TOO_LATE
        self._metrics.answers_of[request.action, label].inc()
        if label != CommandEnd.ANSWERED and ACTION_KINDS[request.action] is ActionKind.WRITE:
            self._failed[""] += 1


class _Request(NamedTuple):  # 10,000 may come at once, and a tuple is made fastest
    """A request of Takaro until it is answered. `begun_s` is on time.monotonic()."""

    socket: TakaroSocket
    id: str
    action: Action
    args: dict[str, Any]
    begun_s: float
