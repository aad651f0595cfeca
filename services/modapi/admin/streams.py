"""Server-sent events: changes of servers, and events and commands as they happen."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.types import Message, Receive, Scope, Send

from services.modapi.admin.authentication import token_of
from services.modapi.admin.problems import ApiError, ErrorCode
from services.modapi.admin.tokens import AdminTokens
from services.modapi.http.request import arrival_of
from services.modapi.metrics import ModapiMetrics
from services.relay.protocol.errors import StoreError
from services.relay.service.http.arrivals import Arrival

MEDIA_TYPE = "text/event-stream"
MOST_STREAMS = 200

HEARTBEAT_S = 15.0
READ_WITHIN_S = 20.0
"""A reader whose connection takes nothing for this long is cut off."""

AT_ONCE = 50
"""Number of messages that are made at once for one reader: no slow reader has many in memory."""

Messages = AsyncGenerator[list[bytes], None]
"""What to send next; an empty list at least each second."""


def stream_message(id: str, name: str, data: BaseModel) -> bytes:
    """One message of a stream."""
    return f"id: {id}\nevent: {name}\ndata: {data.model_dump_json()}\n\n".encode()


def described(example: str, meaning: str) -> dict[int | str, dict[str, Any]]:
    """The description of an answer that may be a stream."""
    content = {MEDIA_TYPE: {"schema": {"type": "string"}, "example": example}}
    return {200: {"content": content, "description": meaning}}


def wanted(request: Request) -> bool:
    """Whether the caller asks for a stream."""
    return MEDIA_TYPE in request.headers.get("accept", "")


class Streams:
    """The open streams of this modapi. Each ends with its token, its reader, or modapi."""

    def __init__(
        self, tokens: AdminTokens, metrics: ModapiMetrics, read_within_s: float = READ_WITHIN_S
    ) -> None:
        self._tokens = tokens
        self._metrics = metrics
        self._read_within_s = read_within_s
        self._open = 0

    def check_room(self) -> None:
        """Raises ApiError if there are too many."""
        if self._open >= MOST_STREAMS:
            raise ApiError(ErrorCode.TOO_MANY_STREAMS, f"there are {MOST_STREAMS} streams already")

    def response(self, request: Request, messages: Messages) -> "StreamResponse":
        sent = self._sent(messages, token_of(request))
        return StreamResponse(sent, arrival_of(request.scope), self._metrics, self._read_within_s)

    async def _sent(self, messages: Messages, token: str) -> AsyncGenerator[bytes, None]:
        self._open += 1
        self._metrics.streams.set(self._open)
        try:
            yield b":\n\n"  # the answer begins at once
            sent_s = time.monotonic()
            async with aclosing(messages):
                async for some in messages:
                    if not await self._admits(token):
                        return
                    chunk = b"".join(some)
                    if not chunk and time.monotonic() - sent_s >= HEARTBEAT_S:
                        chunk = b":\n\n"
                    if chunk:
                        sent_s = time.monotonic()
                        yield chunk
        finally:
            self._open -= 1
            self._metrics.streams.set(self._open)

    async def _admits(self, token: str) -> bool:
        try:
            return await self._tokens.role(token) is not None
        except StoreError:
            return True


class StreamResponse(StreamingResponse):
    """Cuts off a reader that does not read."""

    def __init__(
        self,
        sent: AsyncGenerator[bytes, None],
        arrival: Arrival,
        metrics: ModapiMetrics,
        read_within_s: float,
    ) -> None:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(sent, headers=headers, media_type=MEDIA_TYPE)
        self._sent = sent
        self._arrival = arrival
        self._metrics = metrics
        self._read_within_s = read_within_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._sent):
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        async def in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(self._read_within_s):
                    await send(message)
            except TimeoutError:
                self._metrics.streams_cut_off.inc()
                self._arrival.hang_up()
                await asyncio.sleep(self._read_within_s)  # it is cancelled once the connection is gone

        await super().stream_response(in_time)
