"""One WebSocket of the simulated Takaro, and what it serves: a server, its events, answers to requests."""

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import Any

import orjson
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed


@dataclass(frozen=True, slots=True)
class Accepted:
    """An event that passed validation. `at` is when it came, in seconds on the loop's clock; `socket` is the
    number of the socket on which it came."""

    at: float
    type: str
    data: dict[str, Any]
    socket: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request: the raw payload (None without one), and what Takaro concludes from it."""

    action: str
    raw: Any
    value: Any
    error: str | None
    took_s: float


@dataclass(eq=False, slots=True)
class GameServer:
    """One identity token: its id never changes, its name is the first one given."""

    identity_token: str
    name: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    socket: "SimSocket | None" = None  # the one that identified last: it is asked, even after it closed
    online: dict[str, str] = field(default_factory=dict)  # gameId to name


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
            pass  # as in reality, the asker only sees that the time is over

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
