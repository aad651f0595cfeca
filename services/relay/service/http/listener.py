"""HTTP listeners: the mods' port of modapi, by TLS if there is a certificate, and the admin ports."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from services.relay.protocol.errors import ConfigError
from services.relay.protocol.limits import Limits
from services.relay.service.http.connection_limits import KEEP_ALIVE_S, ConnectionLimits, GuardedProtocol
from services.relay.service.lifecycle import cancelled
from services.relay.service.logs import CHANGE
from services.relay.service.settings import ModApi
from services.relay.service.text_files import signature

logger = logging.getLogger(__name__)

STOP_WITHIN_S = 6
ACCEPT_AGAIN_S = 0.1

CHECK_EVERY_S = 2.0
HANDSHAKE_WITHIN_S = 10.0  # time limit of a TLS handshake

SHUTDOWN_WITHIN_S = 2.0


class Certificate:
    """`context` has the newest valid certificate. Raises ConfigError if the files have none at the start."""

    def __init__(
        self,
        cert: Path,
        key: Path,
        *,
        check_every_s: float = CHECK_EVERY_S,
        handshake_within_s: float = HANDSHAKE_WITHIN_S,
    ) -> None:
        self.handshake_within_s = handshake_within_s
        self._look_every_s = check_every_s
        self._cert, self._key = cert, key
        self._signature = self._stamps()
        if wrong := self._load():
            raise ConfigError(f"modapi.tls_cert, modapi.tls_key: {wrong}")

    async def watch(self) -> None:
        """Reads the files again when they change. Never returns."""
        while True:
            await asyncio.sleep(self._look_every_s)
            found = self._stamps()
            if found == self._signature:
                continue
            wrong = self._load()
            if wrong and self._stamps() != found:
                continue  # still being written
            self._signature = found
            if wrong:
                logger.error("%s. The certificate from before stays in use.", wrong, extra=CHANGE)
            else:
                logger.info("the certificate in %s was read again", self._cert)

    def _load(self) -> str:
        """Makes a new context of the files. Returns what is wrong with them, or ""."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # Otherwise one connection could ask for handshakes without end.
        context.options |= ssl.OP_NO_RENEGOTIATION
        try:
            context.load_cert_chain(self._cert, self._key, _no_password)
        except ssl.SSLError as error:
            return (
                f"{self._cert} and {self._key} are no certificate and its key ({error.reason or 'not PEM'})"
            )
        except OSError as error:
            return f"{self._cert} or {self._key} cannot be read: {error.strerror}"
        except ValueError:
            return f"{self._key} is locked with a password: store it without one"
        self.context = context
        return ""

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        return [signature(file) for file in (self._cert, self._key)]


def certificate_of(modapi: ModApi) -> Certificate | None:
    """The certificate that the settings name; None: plain HTTP. Raises ConfigError."""
    if modapi.tls_cert is None or modapi.tls_key is None:
        return None
    return Certificate(Path(modapi.tls_cert), Path(modapi.tls_key))


def _no_password() -> str:
    """Without this, OpenSSL would ask for the password on the terminal."""
    raise ValueError


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
        watching = asyncio.create_task(self._limits.watch(self.server_state.connections))
        accepting: list[asyncio.Task[None]] = []
        if self._certificate:
            tasks = self._certificate.watch(), self._accept(sock, self._certificate)
            accepting = [asyncio.create_task(task) for task in tasks]
        serving = asyncio.create_task(self.serve(sockets=[] if self._certificate else [sock]))
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            self.should_exit = True
            self._stopping.set()
            for task in (*accepting, *self._shaking):
                await cancelled(task)
            if self._certificate:
                sock.close()
            # Otherwise uvicorn closes it. If it were closed here, asyncio would go on watching its number,
            # and the next socket with this number would never be read from.
            await serving
            raise
        finally:
            await cancelled(watching)

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
