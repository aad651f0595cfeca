"""Calls an application that has no port, and reads its server-sent events."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx
from starlette.types import ASGIApp, Message

WITHIN_S = 30.0


class AppClient(httpx.AsyncClient):
    """Calls `app` itself. `raises`: a fault of `app` is raised in the test, and not answered."""

    def __init__(self, app: ASGIApp, *, raises: bool = True, **options: Any) -> None:
        transport = httpx.ASGITransport(app, raise_app_exceptions=raises)  # type: ignore[arg-type]
        super().__init__(transport=transport, **options)
        self.app = app


class Sent(NamedTuple):
    """One message of a stream."""

    id: str
    name: str
    data: Any


class Stream:
    """An open stream: what came, and the end."""

    def __init__(self, app: ASGIApp, path: str, **headers: str) -> None:
        path, _, query = path.partition("?")
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "scheme": "http",
            "query_string": query.encode(),
            "headers": [
                (name.replace("_", "-").encode(), text.encode())
                for name, text in {"accept": "text/event-stream", **headers}.items()
            ],
            "client": ("127.0.0.1", 1),
            "server": ("admin", 80),
        }
        self.head: Message = {}
        self.sent: list[Sent] = []
        self._text = ""
        self._news = asyncio.Event()
        self._hung_up = asyncio.Event()
        self._asked = False
        self._running = asyncio.create_task(app(self._scope, self._receive, self._send))  # type: ignore[arg-type]

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b""}
        await self._hung_up.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.head = message
        else:
            self._text += message.get("body", b"").decode()
            *whole, self._text = self._text.split("\n\n")
            self.sent += [_read(text) for text in whole if text and not text.startswith(":")]
        self._news.set()

    async def until(self, fits: Callable[[list[Sent]], bool]) -> list[Sent]:
        """Waits until the received text fits, and returns it."""
        async with asyncio.timeout(WITHIN_S):
            while not (self.head and fits(self.sent)):
                self._news.clear()
                await self._news.wait()
        return self.sent

    async def begun(self) -> None:
        await self.until(lambda _: True)

    async def ended(self) -> None:
        """Waits for its end."""
        async with asyncio.timeout(WITHIN_S):
            await self._running

    async def hang_up(self) -> None:
        self._hung_up.set()
        await self.ended()


def _read(text: str) -> Sent:
    fields = dict(line.split(":", 1) for line in text.split("\n"))
    return Sent(fields.get("id", "").strip(), fields["event"].strip(), json.loads(fields["data"] or "null"))
