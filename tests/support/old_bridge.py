"""The bridge that the relay replaces, still running: another client with the same identity token."""

import asyncio
import contextlib
from types import TracebackType
from typing import Any, Self

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed


class SimOldBridge:
    """`async with SimOldBridge(takaro.url, identity_token, registration_token) as bridge:` is identified.

    It answers each request with an error, like a bridge whose mod now calls the relay.
    """

    def __init__(self, url: str, identity_token: str, registration_token: str) -> None:
        self._url = url
        self._body = {"identityToken": identity_token, "registrationToken": registration_token, "name": "old"}
        self.requests = 0
        self._socket: ClientConnection
        self._reading: asyncio.Task[None]
        self._identified = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._socket = await connect(self._url, compression=None, proxy=None)
        self._reading = asyncio.create_task(self._read())
        await self.identify()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._socket.close()
        await self._reading

    async def identify(self) -> None:
        """Identify, again if called twice: Takaro then sends its requests to this socket."""
        self._identified.clear()
        await self._send({"type": "identify", "payload": self._body})
        await self._identified.wait()

    async def send_event(self, kind: str, data: dict[str, Any]) -> None:
        """Takaro accepts events from every identified socket, not only from the one it sends requests to."""
        await self._send({"type": "gameEvent", "payload": {"type": kind, "data": data}})

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in self._socket:
                frame = orjson.loads(text)
                if frame["type"] == "identifyResponse":
                    self._identified.set()
                elif frame["type"] == "request":
                    self.requests += 1
                    payload = {"error": "the game server does not answer"}
                    await self._send(
                        {"type": "response", "requestId": frame["requestId"], "payload": payload}
                    )

    async def _send(self, frame: dict[str, Any]) -> None:
        await self._socket.send(orjson.dumps(frame).decode())
