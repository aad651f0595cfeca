"""One WebSocket of the simulated Takaro: its frames and its open requests."""

import asyncio
import uuid
from typing import Any

import orjson
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from services.sim.takaro.records import GameServer


class SimSocket:
    """Serves one server at a time; a second identify binds it to another one. `number` counts from 1."""

    def __init__(self, connection: ServerConnection, number: int) -> None:
        self.connection = connection
        self.number = number
        self.server: GameServer | None = None
        self.requests = 0
        self._pending: dict[str, asyncio.Future[Any]] = {}

    async def send(self, kind: str, payload: Any, request_id: str = "") -> None:
        """Send one frame. Its requestId is random, except on a request and on an error about its answer."""
        frame = {"type": kind, "payload": payload, "requestId": request_id or str(uuid.uuid4())}
        try:
            await self.connection.send(orjson.dumps(frame).decode())
        except ConnectionClosed:
            pass  # as in reality, whoever waits for an answer only sees that the time is over

    async def ask(self, action: str, args_json: str, timeout_s: float) -> tuple[str, Any]:
        """The id of the request, and the payload of its answer. Raises TimeoutError without an answer."""
        request_id = str(uuid.uuid4())
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending[request_id] = future
        self.requests += 1
        try:
            async with asyncio.timeout(timeout_s):
                await self.send("request", {"action": action, "args": args_json}, request_id)
                return request_id, await future
        finally:
            self._pending.pop(request_id, None)

    def take_answer(self, message: dict[str, Any]) -> None:
        """Give the payload to the request that waits for it. Only the requestId counts, not the type."""
        request_id = message.get("requestId")
        future = self._pending.pop(request_id, None) if isinstance(request_id, str) else None
        if future is not None and not future.done():
            future.set_result(message.get("payload"))

    async def pong(self) -> None:
        await self.send("pong", None)

    def tear(self) -> None:
        """Close without a close frame: the other side sees 1006."""
        self.connection.transport.abort()
