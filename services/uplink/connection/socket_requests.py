"""The requests that came over one socket, until each of them is answered."""

import asyncio
import sys
import time
from array import array

from services.relay.service.logs import InstanceLogger
from services.uplink.connection.closing_times import LAST_ANSWERS_S
from services.uplink.connection.socket_writer import SocketWriter
from services.uplink.reporting.metrics import UplinkMetrics
from services.uplink.requests.handler import RequestHandler
from services.uplink.takaro import frames

KEPT = 512
"""Number of requests that are remembered: those of the last 10 s, which Takaro gives to each answer, even
when 200 players are online. It refuses an answer as soon as it has it."""

_NAME_CHARS = 50


class SocketRequests:
    """The requests of one socket.

    The last KEPT are remembered: an error frame under one of their ids is about our answer. Ids are kept as
    hashes: 1,000 sockets with 512 texts each would hold 50 MB.
    """

    def __init__(self, handler: RequestHandler, metrics: UplinkMetrics, logger: InstanceLogger) -> None:
        self.count = 0
        self.asked_s: float | None = None
        """When Takaro asked last, on time.monotonic()."""
        self.open: set[asyncio.Task[None]] = set()
        """The tasks that answer requests."""
        self._handler = handler
        self._metrics = metrics
        self._logger = logger
        self._ids = array("q")
        self._actions: list[str] = []
        self._refused_actions: set[str] = set()

    def take(self, writer: SocketWriter, request: frames.Request) -> None:
        """Counts a request, and has it answered on the socket of `writer`."""
        id, action = hash(request.request_id), sys.intern(request.action[:_NAME_CHARS])
        if self.count < KEPT:
            self._ids.append(id)
            self._actions.append(action)
        else:  # in the place of the oldest one
            place = self.count % KEPT
            self._ids[place], self._actions[place] = id, action
        self.count += 1
        self.asked_s = time.monotonic()
        if task := self._handler.take(writer, request):
            self.open.add(task)
            task.add_done_callback(self.open.discard)

    def refused(self, error: frames.ErrorFrame) -> bool:
        """Whether an error frame is about one of our answers. Logged once for each action: Takaro asks again
        each 30 s. Not logged before the mod's first call: the relay answers with errors then, rightly."""
        try:
            action = self._actions[self._ids.index(hash(error.request_id))]
        except ValueError:
            return False
        self._metrics.error_frames.labels("answer").inc()
        if self._handler.mod_has_called and action not in self._refused_actions:
            self._refused_actions.add(action)
            self._logger.warning("Takaro cannot use the answer to %s: %s", action, error.text)
        return True

    async def cut_short(self, writer: SocketWriter) -> None:
        """Ends each open request with an answer that says how far it came, and writes the answers."""
        if not writer.open:
            return
        if tasks := list(self.open):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=LAST_ANSWERS_S)
        writer.flush()
