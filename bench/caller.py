"""A minimal HTTP client: one keep-alive connection, prepared bytes, one request at a time."""

import asyncio
from typing import cast

NO_ANSWER = (0, b"")


class Caller(asyncio.Protocol):
    """One connection, opened when it is needed and opened again after it was closed."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._got = b""

    async def ask(self, head: bytes, tail: bytes) -> tuple[int, bytes]:
        """Status and body of the answer; status 0 without an answer. A kept connection may be closed just
        before it is used; then, like libcurl, the client asks again on a new one."""
        kept = self._transport is not None
        answer = await self._ask(head, tail)
        return await self._ask(head, tail) if kept and answer is NO_ANSWER else answer

    async def _ask(self, head: bytes, tail: bytes) -> tuple[int, bytes]:
        loop = asyncio.get_running_loop()
        if self._transport is None:
            try:
                await loop.create_connection(lambda: self, self._host, self._port)
            except OSError:
                return NO_ANSWER
        assert self._transport
        self._got, self._answer = b"", loop.create_future()
        self._transport.writelines((head, tail))
        return await self._answer

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop has transports of its own

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._answered(NO_ANSWER)

    def data_received(self, data: bytes) -> None:
        got = self._got = self._got + data
        head_end = got.find(b"\r\n\r\n")
        if head_end < 0:
            return
        at = got.find(b"content-length: ") + 16
        length = int(got[at : got.find(b"\r", at)])
        if len(got) - head_end - 4 >= length:
            self._answered((int(got[9:12]), got[head_end + 4 :]))

    def _answered(self, answer: tuple[int, bytes]) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_result(answer)
