"""One WebSocket of the simulated Takaro: its frames, its open requests, the order of pongs and errors."""

import asyncio
import random
import uuid
from typing import Any

import orjson
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from services.sim.takaro.records import GameServer

ERROR_DELAY_TURNS = 3
"""Turns of the loop by which an error frame is late at most: enough for one pong to overtake it."""


class SimSocket:
    """Serves one server at a time; a second identify binds it to another one. `number` counts from 1."""

    def __init__(self, connection: ServerConnection, number: int) -> None:
        self.connection = connection
        self.number = number
        self.server: GameServer | None = None
        self.requests = 0
        self.pongs_wait = True  # see `pong()`
        self.error_delay_s = 0.0  # by which error frames are later than usual
        self._pending: dict[str, asyncio.Future[Any]] = {}
        self._errors: set[asyncio.Task[None]] = set()  # those that are not sent yet
        self._errors_before_ping: set[asyncio.Task[None]] = set()
        self._pong_due = False
        self._chance = random.Random(number)

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
        """One pong can overtake the errors of events before its ping. The pong of the next ping cannot: it
        waits for the errors that were due at the ping before. Two pings in one packet count as one."""
        if not self._pong_due:
            if self.pongs_wait and self._errors_before_ping:
                await asyncio.wait(self._errors_before_ping)
            self._errors_before_ping = set(self._errors)
        self._pong_due = True
        asyncio.get_running_loop().call_soon(setattr, self, "_pong_due", False)
        await self.send("pong", None)

    def send_error_soon(self, text: str) -> None:
        """Send an error frame a few turns of the loop later."""
        task = asyncio.create_task(self._send_error(text))
        self._errors.add(task)
        task.add_done_callback(self._errors.discard)

    async def _send_error(self, text: str) -> None:
        turns = self._chance.randrange(ERROR_DELAY_TURNS + 1)
        if self.error_delay_s:
            await asyncio.sleep(self.error_delay_s)
        for _ in range(turns):
            await asyncio.sleep(0)
        await self.send("error", {"message": text})

    def tear(self) -> None:
        """Close without a close frame: the other side sees 1006."""
        self.connection.transport.abort()

    def closed(self) -> None:
        for task in self._errors:
            task.cancel()
