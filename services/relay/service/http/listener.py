"""HTTP listeners: the mods' port of modapi, and the admin port that both services have."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from functools import partial

import uvicorn
from starlette.types import ASGIApp

from services.relay.protocol.limits import Limits
from services.relay.service.http.connection_limits import KEEP_ALIVE_S, ConnectionLimits, GuardedProtocol
from services.relay.service.http.tls import SHUTDOWN_WITHIN_S, Certificate
from services.relay.service.lifecycle import cancelled

logger = logging.getLogger(__name__)

STOP_WITHIN_S = 6
ACCEPT_AGAIN_S = 0.1


class Listener(uvicorn.Server):
    """A uvicorn server that leaves signals to its service, and has the limits of connection_limits.py."""

    def __init__(
        self,
        app: ASGIApp,
        limits: ConnectionLimits | None = None,
        certificate: Certificate | None = None,
        keep_alive_s: int = KEEP_ALIVE_S,
    ) -> None:
        """Serves `app` behind `limits` (without one: with the default limits), by TLS with a certificate."""
        self._limits = limits or ConnectionLimits(Limits())
        self._certificate = certificate
        self._shaking: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        config = uvicorn.Config(
            app,
            http=partial(GuardedProtocol, self._limits),  # type: ignore[arg-type]  # a maker of protocols is enough
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # it would believe every caller on this machine
            date_header=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=keep_alive_s,
            timeout_graceful_shutdown=STOP_WITHIN_S,
        )
        super().__init__(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        """uvicorn would look ten times a second whether it is to stop. `listen` says so."""
        await self.on_tick(0)  # its default headers
        await self._stopping.wait()

    async def listen(self, sock: socket.socket) -> None:
        """Serves until it is cancelled. Then answers the requests under way, for up to STOP_WITHIN_S."""
        beside = [asyncio.create_task(self._limits.watch(self.server_state.connections))]
        if self._certificate:
            beside += [
                asyncio.create_task(self._certificate.watch()),
                asyncio.create_task(self._accept(sock, self._certificate)),
            ]
        serving = asyncio.create_task(self.serve(sockets=[] if self._certificate else [sock]))
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            self.should_exit = True
            self._stopping.set()
            for task in (*beside[1:], *self._shaking):
                await cancelled(task)
            if self._certificate:
                sock.close()
            # Otherwise uvicorn closes it. If it were closed here, asyncio would go on watching its number,
            # and the next socket with this number would never be read from.
            await serving
            raise
        finally:
            await cancelled(beside[0])

    async def _accept(self, sock: socket.socket, certificate: Certificate) -> None:
        """Accepts connections by TLS. uvicorn would count and time them only after the handshake."""
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(sock)
            except OSError:  # the caller was gone already, or there are too many open files
                await asyncio.sleep(ACCEPT_AGAIN_S)
                continue
            if not self._limits.enter(address[0]):
                connection.close()
                continue
            task = asyncio.create_task(self._shake_hands(connection, address[0], certificate))
            self._shaking.add(task)
            task.add_done_callback(self._shaking.discard)

    async def _shake_hands(self, connection: socket.socket, address: str, certificate: Certificate) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                partial(self.config.http_protocol_class, self.config, self.server_state, {}),  # type: ignore[call-arg]
                connection,
                ssl=certificate.context,
                ssl_handshake_timeout=certificate.handshake_within_s,
                ssl_shutdown_timeout=SHUTDOWN_WITHIN_S,
            )
        except OSError:  # a port scan, plain HTTP, or nothing in time
            connection.close()
        finally:
            self._limits.leave(address)
