"""HTTP listeners: the mods' port of modapi, and the admin port that both services have."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator

import uvicorn
from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.types import ASGIApp

from services.relay.errors import ConfigError

logger = logging.getLogger(__name__)

STOP_WITHIN_S = 6
KEEP_ALIVE_S = 30
"""A mod that keeps its connection may be quiet for a while; closed under its hands, its next call fails."""
BACKLOG = 2048


class Listener(uvicorn.Server):
    """A uvicorn server that leaves the signals to the service it is a part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    @classmethod
    def of(cls, app: ASGIApp) -> "Listener":
        return cls(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                lifespan="off",
                ws="none",
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=STOP_WITHIN_S,
            )
        )

    async def listen(self, sock: socket.socket) -> None:
        """Serves until cancelled; then finishes what is under way, for up to STOP_WITHIN_S."""
        serving = asyncio.create_task(self.serve(sockets=[sock]))
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            self.should_exit = True
            await serving
            raise


def bind(host: str, port: int, key: str) -> socket.socket:
    """A listening socket. Raises ConfigError naming the setting `key` when the address can't be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"{key}: cannot listen on {host}:{port} ({error.strerror or error}). "
            f"Is another relay running? Otherwise choose another port."
        ) from error


def admin_app(registry: CollectorRegistry, not_ready: Callable[[], Awaitable[str]]) -> FastAPI:
    """`/livez`, `/readyz`, `/metrics`. `not_ready` gives the reason why the service isn't, or ""."""
    app = FastAPI(openapi_url=None)

    @app.get("/livez")
    async def livez() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/readyz")
    async def readyz(response: Response) -> dict[str, bool | str]:
        reason = await not_ready()
        if not reason:
            return {"ok": True}
        response.status_code = 503
        return {"ok": False, "reason": reason}

    @app.get("/metrics")
    def metrics() -> Response:  # not async: rendering many series must not hold up the loop
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return app
