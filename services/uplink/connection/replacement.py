"""Decides when a new socket replaces the one in use: after a number of requests or hours, or if Takaro may
ask another one."""

import random
import time
from datetime import UTC, datetime

from services.relay.service.logs import InstanceLogger
from services.uplink.connection.link_times import LinkTimes
from services.uplink.connection.other_client import Finding, OtherClientWatch
from services.uplink.connection.socket_session import SocketSession
from services.uplink.reporting.metrics import UplinkMetrics

SPREAD = 0.1
"""Share by which the limits of requests and of age differ from socket to socket: a fleet must not identify at
one moment."""


class Replacement:
    """The limits of the socket in use. `wanted`: replace it in any case."""

    def __init__(self, metrics: UplinkMetrics, logger: InstanceLogger, times: LinkTimes) -> None:
        self.wanted = False
        self._metrics = metrics
        self._logger = logger
        self._times = times
        self._most_requests = self._oldest_s = 0.0
        self._other_client = OtherClientWatch(times.quiet_after_s)

    def begin(self) -> None:
        """Sets the limits of a new socket."""
        self.wanted = False
        times = self._times
        self._most_requests = times.replace_after_requests * random.uniform(1 - SPREAD, 1 + SPREAD)
        self._oldest_s = time.monotonic() + times.replace_after_s * random.uniform(1 - SPREAD, 1 + SPREAD)

    def due(self, session: SocketSession) -> bool:
        """Whether `session`, the socket in use, has reached a limit, or Takaro may ask another one."""
        now_s, socket = time.monotonic(), session.socket
        match self._other_client.look(session.identified_s, socket.asked_s, now_s):
            case Finding.NO_REQUESTS:
                return True
            case Finding.USURPED:
                asked_s = time.time() - now_s + (self._other_client.asked_s or now_s)
                self._metrics.usurped.inc()
                self._logger.warning(
                    "Takaro has asked this server nothing since %s: does an old bridge still run with the "
                    "same identity token? Stop it",
                    f"{datetime.fromtimestamp(asked_s, UTC):%Y-%m-%d %H:%M:%S} UTC",
                )
            case Finding.ASKED_AGAIN:
                self._logger.info("Takaro asks this server again")
        return socket.asked_count >= self._most_requests or now_s >= self._oldest_s
