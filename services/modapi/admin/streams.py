"""Server-sent events: changes of servers, and events and commands as they happen."""

import asyncio
import math
import secrets
import time
import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import orjson
from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from services.modapi.admin.activity_models import ServerCommand, ServerEvent
from services.modapi.admin.authentication import token_of
from services.modapi.admin.problems import ApiError, ErrorCode
from services.modapi.admin.tokens import AdminTokens
from services.modapi.http.mod_call import arrival_of
from services.modapi.metrics import ModapiMetrics
from services.relay.instances.activity import ActivityEntry
from services.relay.protocol.errors import StoreError

MEDIA_TYPE = "text/event-stream"
MOST_STREAMS = 200

COMMENT_EVERY_S = 15.0
READ_WITHIN_S = 20.0  # a reader whose connection takes nothing for this long is cut off

AT_ONCE = 50  # number of messages that are made at once for one reader: no slow reader has many in memory

Messages = AsyncGenerator[list[bytes], None]  # what to send next; an empty list at least each second


def stream_message(id: str, name: str, data: dict[str, Any]) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (id.encode(), name.encode(), orjson.dumps(data))


def entry_message(id: str, slug: str, entry: ActivityEntry) -> bytes:
    """The message about an event or a command."""
    shown = (ServerEvent if entry.kind == "event" else ServerCommand).model_validate(entry)
    return stream_message(id, entry.kind, {"slug": slug, **shown.model_dump(mode="json")})


def described(example: str, meaning: str) -> dict[int | str, dict[str, Any]]:
    """The description of an answer that may be a stream."""
    content = {MEDIA_TYPE: {"schema": {"type": "string"}, "example": example}}
    return {200: {"content": content, "description": meaning}}


def wanted(request: Request) -> bool:
    """Whether the caller asks for a stream."""
    return MEDIA_TYPE in request.headers.get("accept", "")


class Streams:
    """The open streams of the admin API, which end with the token of their call, or those of the page, which
    have none.
    """

    def __init__(
        self, tokens: AdminTokens | None, metrics: ModapiMetrics, read_within_s: float = READ_WITHIN_S
    ) -> None:
        self.tokens = tokens
        self.metrics = metrics
        self.read_within_s = read_within_s
        self.process = secrets.token_hex(4)  # the name of this process in the ids of messages
        self._open = 0

    @property
    def is_full(self) -> bool:
        return self._open >= MOST_STREAMS

    def check_room(self) -> None:
        """Raises ApiError if there are too many: before anything is read or followed for one more."""
        if self.is_full:
            raise ApiError(ErrorCode.TOO_MANY_STREAMS, f"there are {MOST_STREAMS} streams already")

    def count(self, change: int) -> None:
        """Counts a stream that begins (1) or ends (-1)."""
        self._open += change
        self.metrics.streams.inc(change)


class StreamResponse(StreamingResponse):
    """Ends with its messages, its reader, or modapi. Cuts off a reader that does not read.

    With `gzip` each message is packed as soon as it comes, for 64 KiB of memory.
    """

    def __init__(self, streams: Streams, request: Request, messages: Messages, *, gzip: bool = False) -> None:
        self._streams = streams
        self._request = request
        self._gzip = gzip
        self._sent = self._chunks(messages)
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        if gzip:
            headers["content-encoding"] = "gzip"
        super().__init__(self._sent, headers=headers, media_type=MEDIA_TYPE)

    async def _chunks(self, messages: Messages) -> AsyncGenerator[bytes, None]:
        packer = zlib.compressobj(wbits=16 + 13, memLevel=6) if self._gzip else None
        self._streams.count(1)
        try:
            sent_s = -math.inf  # the answer begins at once
            async with aclosing(messages):
                async for some in messages:
                    if not await self._is_admitted():
                        return
                    chunk = b"".join(some)
                    if not chunk and time.monotonic() - sent_s >= COMMENT_EVERY_S:
                        chunk = b":\n\n"
                    if chunk:
                        sent_s = time.monotonic()
                        yield packer.compress(chunk) + packer.flush(zlib.Z_SYNC_FLUSH) if packer else chunk
        finally:
            self._streams.count(-1)

    async def _is_admitted(self) -> bool:
        tokens = self._streams.tokens
        try:
            return tokens is None or await tokens.role(token_of(self._request)) is not None
        except StoreError:
            return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._sent):
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        within_s = self._streams.read_within_s

        async def in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(within_s):
                    await send(message)
            except TimeoutError:
                self._streams.metrics.streams_cut_off.inc()
                arrival_of(self._request.scope).hang_up()
                await asyncio.sleep(within_s)  # it is cancelled once the connection is gone

        await super().stream_response(in_time)
