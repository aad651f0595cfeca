"""A TCP proxy that misbehaves on demand: between a mod and modapi, or between a service and its store."""

import asyncio
import contextlib
import itertools
import socket
import struct
from collections.abc import Callable
from types import TracebackType
from typing import Self

CHUNK_BYTES = 64 * 1024
BACKLOG = 1_024
"""All mods of a fleet may boot at once. A mod whose registration is reset stays offline until it reboots."""


class Proxy:
    """`async with Proxy(host, port) as proxy:` listens on `proxy.port` and forwards everything.

    The switches can be set at any time and work on open connections, too:

    - `drop_replies`: what the server says is thrown away, the client waits;
    - `reply_delay_s`: each piece of a reply comes so much later;
    - `jitter`: asked for each piece of a reply, by how many seconds more it is late;
    - `hides_ends`: that the client has closed its connection is not passed on until this is off again;
    - `cut_after_bytes`: so much of a connection's replies passes, then it is reset;
    - `passing.clear()`: nothing passes in either direction until `passing.set()`, not even an end.

    `on_request(bytes)` and `on_reply(bytes)` see each piece before any of this, `replaced(bytes)` is what
    the client gets for a piece of a reply; `reset()` tears all connections. With more `targets` each
    connection goes to the next one that does not refuse it. A `host` with a slash is a unix socket.
    """

    def __init__(self, host: str, port: int, *, listen: str = "127.0.0.1") -> None:
        self._listen = listen
        self.targets = [(host, port)]
        self._connections = itertools.count()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.drop_replies = False
        self.hides_ends = False
        self.reply_delay_s = 0.0
        self.jitter: Callable[[], float] = lambda: 0.0
        self.cut_after_bytes: int | None = None
        self.passing = asyncio.Event()
        self.passing.set()
        self.on_reply: Callable[[bytes], object] = lambda reply: None
        self.on_request: Callable[[bytes], object] = lambda request: None
        self.replaced: Callable[[bytes], bytes] = lambda reply: reply

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self._listen, 0, backlog=BACKLOG)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server
        self._server.close()
        self.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def next_request(self) -> None:
        """Waits until the client sends something."""
        came = asyncio.Event()
        self.on_request = lambda request: came.set()
        await came.wait()

    def reset(self) -> None:
        """Reset every connection at both ends."""
        for writer in self._writers:
            _reset(writer)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._serve(reader, writer)
        except asyncio.CancelledError:
            pass  # the end of the test
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened = await self._open()
        if opened is None:
            return  # refused there, closed here
        server_reader, server_writer = opened
        self._writers.add(server_writer)
        try:
            ways = [
                asyncio.create_task(self._pass_on(reader, server_writer, replies=False)),
                asyncio.create_task(self._pass_on(server_reader, writer, replies=True)),
            ]
            try:
                await asyncio.wait(ways)
            finally:
                for way in ways:
                    way.cancel()
        finally:
            self._writers.discard(server_writer)
            server_writer.close()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        first = next(self._connections)
        for number in range(len(self.targets)):
            host, port = self.targets[(first + number) % len(self.targets)]
            with contextlib.suppress(OSError):
                if "/" in host:
                    return await asyncio.open_unix_connection(host)
                return await asyncio.open_connection(host, port)
        return None

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, replies: bool
    ) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                if replies:
                    self.on_reply(chunk)
                    chunk = self.replaced(chunk)
                    await asyncio.sleep(self.reply_delay_s + self.jitter())
                else:
                    self.on_request(chunk)
                await self.passing.wait()
                if not (replies and self.drop_replies):
                    left = self.cut_after_bytes - passed if replies and self.cut_after_bytes else len(chunk)
                    writer.write(chunk[: max(0, left)])
                    await writer.drain()
                    passed += len(chunk)
                    if left < len(chunk):
                        _reset(writer)
                        return
        await self.passing.wait()
        # The end of a connection is forwarded, too. A caller whose reply was dropped keeps waiting.
        while self.hides_ends and not replies:
            await asyncio.sleep(0.1)
        if not (replies and self.drop_replies) and not writer.is_closing():
            writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    handle = writer.get_extra_info("socket")
    if handle and handle.fileno() >= 0:  # it may have ended itself
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
