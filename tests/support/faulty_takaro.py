"""A simulated Takaro that tests can inspect and make misbehave, for all servers or for one identity."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from websockets.asyncio.server import ServerConnection

from services.sim.takaro.server import TornSocket
from services.sim.takaro.socket import Accepted, SimSocket
from tests.support.strict_takaro import StrictSocket, StrictTakaro
from tests.support.takaro_identify import by_status, in_words
from tests.support.takaro_intake import INTERNAL_ERROR

EMPTY: Final = ""
"""Refuse an identify with an empty `error` object, as Takaro does for a transient fault (protocol.md T2)."""


@dataclass(slots=True)
class TakaroFaults:
    """Can be set at any time."""

    silent: bool = False
    """No identify is answered."""

    identify_held: asyncio.Event | None = None
    """An identify takes effect when this is set, even if its socket is gone by then. None: at once."""

    kill_early: bool = False
    """The socket is torn: on accept when set for all servers, on its identify when set for one identity."""

    error_delay_s: float = 0.0
    """Error frames are this much later than usual. The second of two pongs still waits for them."""

    pongs_overtake: bool = False
    """No pong waits for an error, not even the second of two. protocol.md T7 rules this out."""

    reading: asyncio.Event = field(default_factory=asyncio.Event)
    _refusal: dict[str, Any] | None = None
    _refusals: float = 0.0
    _internal_errors: float = 0.0

    def __post_init__(self) -> None:
        self.reading.set()

    def stop_reading(self) -> None:
        """Reads no frame until `resume_reading()`. Frames collect in the buffers."""
        self.reading.clear()

    def resume_reading(self) -> None:
        self.reading.set()

    def refuse_identify(self, text: str = EMPTY, times: float = math.inf) -> None:
        """Refuse the next `times` identifies with `text`; without `times`, all until `accept_identify()`."""
        self._refusal, self._refusals = in_words(text), times

    def refuse_by_status(self, status: int, times: float = math.inf) -> None:
        """The same, as if Takaro's API had answered with this HTTP status: 400, 409, 502."""
        self._refusal, self._refusals = by_status(status), times

    def accept_identify(self) -> None:
        self._refusals = 0

    def internal_errors(self, times: float = math.inf) -> None:
        """Answer the next `times` events with an internal error; without `times`, all until an identify."""
        self._internal_errors = times

    def take_refusal(self) -> dict[str, Any] | None:
        """The error with which this identify is refused, or None."""
        if self._refusals < 1:
            return None
        self._refusals -= 1
        return self._refusal

    def take_internal_error(self) -> bool:
        if self._internal_errors < 1:
            return False
        self._internal_errors -= 1
        return True

    def identified(self) -> None:
        if self._internal_errors == math.inf:
            self._internal_errors = 0


class FaultyTakaro(StrictTakaro):
    """As strict as StrictTakaro. `faults` concern all servers, `faults_of()` one; either is enough."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.faults = TakaroFaults()
        self.identifying = 0  # identifies that are held right now
        self._faults_of: dict[str, TakaroFaults] = {}

    def faults_of(self, identity_token: str) -> TakaroFaults:
        return self._faults_of.setdefault(identity_token, TakaroFaults())

    # What happened

    def events(self, identity_token: str) -> list[Accepted]:
        """Accepted events in the order of receipt, without those that Takaro lost afterwards."""
        server = self.servers.get(identity_token)
        return list(server.events) if server else []

    def identifies(self, identity_token: str) -> list[float]:
        """When each successful identify happened, on the loop's clock in seconds."""
        server = self.servers.get(identity_token)
        return list(server.identifies) if server else []

    def sockets(self, identity_token: str | None = None) -> list[SimSocket]:
        """The open sockets, or those of this identity, oldest first."""
        found = [
            socket
            for socket in self.open_sockets
            if identity_token is None or (socket.server and socket.server.identity_token == identity_token)
        ]
        return sorted(found, key=lambda socket: socket.number)

    def asked_socket(self, identity_token: str) -> int:
        """The number of the socket that identified last: requests go to it, even after it closed. 0: none."""
        server = self.servers.get(identity_token)
        return server.socket.number if server and server.socket else 0

    async def wait_for(self, predicate: Callable[[], object], timeout_s: float = 30.0) -> None:
        """Waits until `predicate()` is true, which is called after every change. Raises TimeoutError."""
        await self.changes.wait_for(predicate, timeout_s)

    # Misbehaviour

    def drop_connections(self, identity_token: str | None = None) -> None:
        """Tear the sockets of all servers, or of one, without a close frame."""
        for socket in self.sockets(identity_token):
            socket.tear()

    async def send_error_frame(self, text: str, identity_token: str | None = None) -> None:
        for socket in self.sockets(identity_token):
            await socket.send("error", {"message": text})

    async def serve(self, connection: ServerConnection) -> None:
        if self.faults.kill_early:
            self.connections += 1
            connection.transport.abort()
        else:
            await super().serve(connection)

    async def _take(self, socket: SimSocket, frame: str | bytes) -> None:
        await self.faults.reading.wait()
        own = self.faults_of(socket.server.identity_token) if socket.server else TakaroFaults()
        await own.reading.wait()
        assert isinstance(socket, StrictSocket)
        socket.error_delay_s = self.faults.error_delay_s + own.error_delay_s
        socket.pongs_wait = not (self.faults.pongs_overtake or own.pongs_overtake)
        await super()._take(socket, frame)

    def _refuse_identify(self, payload: Any) -> dict[str, Any] | None:
        error = super()._refuse_identify(payload)
        if error is None:
            error = self.faults.take_refusal()
        return self.faults_of(payload["identityToken"]).take_refusal() if error is None else error

    async def _accept_identify(self, socket: SimSocket, payload: dict[str, Any]) -> None:
        own = self.faults_of(payload["identityToken"])
        if own.kill_early:
            raise TornSocket
        if self.faults.silent or own.silent:
            return
        if held := self.faults.identify_held or own.identify_held:
            self.identifying += 1
            await held.wait()
            self.identifying -= 1
        self.faults.identified()
        own.identified()
        await super()._accept_identify(socket, payload)

    def _take_event(self, socket: SimSocket, frame: dict[str, Any]) -> None:
        server = socket.server
        if server and (
            self.faults.take_internal_error() or self.faults_of(server.identity_token).take_internal_error()
        ):
            self._refuse(socket, server, frame, INTERNAL_ERROR)
        else:
            super()._take_event(socket, frame)
