"""The engine's HTTP client, with its quirks: a new connection for each request (protocol.md M6, M7)."""

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass, field
from enum import StrEnum, unique
from urllib.parse import urlsplit

CONTINUE_ABOVE_BYTES = 1024
CONTINUE_STALL_S = 1.0
_MAX_HEAD_BYTES = 64 * 1024


@unique
class CallFailure(StrEnum):
    """What a script learns about a failed request."""

    CLIENT_ERROR = "4xx"
    SERVER_ERROR = "5xx"
    OTHER = "other"  # refused, reset, redirected
    TIMEOUT = "timeout"  # also a 2xx without a body


class RequestFailed(Exception):
    def __init__(self, failure: CallFailure) -> None:
        super().__init__(failure.value)
        self.failure = failure


@dataclass(slots=True)
class HttpClient:
    """The address of a request is `base_url` followed by the path, with nothing between (protocol.md M1)."""

    base_url: str
    total_s: float = 10.0
    in_turn: bool = False  # one request after the other, as some engines do
    stalls: int = 0  # POSTs whose `Expect: 100-continue` was not answered
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def get(self, path: str) -> bytes:
        """The body of a 2xx. Raises RequestFailed. A script cannot add headers to a GET."""
        return await self._exchange("GET", path, "", None)

    async def post(self, path: str, body: bytes, content_type: str) -> bytes:
        """`content_type` is sent as it is, with line breaks: so a script can add Authorization."""
        return await self._exchange("POST", path, content_type, body)

    async def _exchange(self, method: str, path: str, content_type: str, body: bytes | None) -> bytes:
        try:
            # The time-out begins when the request is sent, not while it waits for its turn.
            async with self._turn if self.in_turn else nullcontext(), asyncio.timeout(self.total_s):
                status, answer = await self._request(method, path, content_type, body)
        except TimeoutError as error:
            raise RequestFailed(CallFailure.TIMEOUT) from error
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            raise RequestFailed(CallFailure.OTHER) from error
        if 200 <= status < 300:
            if not answer:
                raise RequestFailed(CallFailure.TIMEOUT)
            return answer
        failures = {4: CallFailure.CLIENT_ERROR, 5: CallFailure.SERVER_ERROR}
        raise RequestFailed(failures.get(status // 100, CallFailure.OTHER))

    async def _request(
        self, method: str, path: str, content_type: str, body: bytes | None
    ) -> tuple[int, bytes]:
        url = urlsplit(self.base_url + path)
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        head = f"{method} {target} HTTP/1.1\r\nHost: {url.netloc}\r\nAccept: */*\r\n"
        expects = body is not None and len(body) > CONTINUE_ABOVE_BYTES
        if body is not None:
            head += f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        if expects:
            head += "Expect: 100-continue\r\n"
        tls = url.scheme == "https"
        port = url.port or (443 if tls else 80)
        reader, writer = await asyncio.open_connection(
            url.hostname, port, limit=_MAX_HEAD_BYTES, ssl=tls or None
        )
        try:
            writer.write(head.encode() + b"\r\n")
            status, headers = 100, dict[str, str]()
            if expects:
                try:
                    async with asyncio.timeout(CONTINUE_STALL_S):
                        status, headers = await _read_head(reader)
                except TimeoutError:
                    self.stalls += 1
            if status // 100 == 1:  # otherwise the server does not want the body
                writer.write(body or b"")
                await writer.drain()
            while status // 100 == 1:
                status, headers = await _read_head(reader)
            return status, await _read_body(reader, headers)
        finally:
            writer.close()


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return int(lines[0][9:12]), headers


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        return body
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    return await reader.read()
