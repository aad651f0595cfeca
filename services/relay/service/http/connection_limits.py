"""Limits of a listener before a request is handled: the number of connections, the size of a request's head,
and the time until the whole request is there. uvicorn has none of these limits.
"""

import asyncio
import contextlib
import math
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.relay.protocol.limits import Limits
from services.relay.service.arrivals import ALIVE_EVERY_S, Arrivals, CallerConnection
from services.relay.service.clocks import until_shared_s
from services.relay.service.http.addresses import Network, is_in, plain, source_of

CHECK_EVERY_S = ALIVE_EVERY_S
KEEP_ALIVE_S = 30
"""Time for which a connection may be idle. If it closes just as its mod makes a call, that call fails."""

MAX_PIPELINED = 8
"""The engine's client sends its next request after the answer. Each request that waits costs memory."""

SPARE_FILES = 256  # number of open files that are left for the store, the log and the other listener

_CONTINUE = b"HTTP/1.1 100 "
_STREAMED = b"transfer-encoding: chunked"


class StopParsing(Exception):
    """The connection is refused already. It is caught in this module."""


class ConnectionLimits:
    """The connections of one listener. `refused` is called with the name of each limit that is reached."""

    def __init__(
        self,
        limits: Limits,
        refused: Callable[[str], object] = lambda limit: None,
        trusted: Sequence[Network] = (),
    ) -> None:
        self.header_bytes = limits.header_bytes
        self.receive_within_s = limits.receive_within_s
        self.refused = refused
        self._most = min(limits.connections, files() - SPARE_FILES)
        self._most_each = limits.connections_per_address
        self.arrivals = Arrivals()
        self._trusted = trusted
        self._count = 0
        self._counts: dict[str, int] = {}

    def enter(self, address: str) -> bool:
        """Counts a connection from that address. False: it is one too many. True: `leave` must follow."""
        source = source_of(address)
        if self._count >= self._most:
            self.refused("connections")
            return False
        count = self._counts.get(source, 0)
        if count >= self._most_each and not is_in(address, self._trusted):
            self.refused("connections_per_address")
            return False
        self._counts[source] = count + 1
        self._count += 1
        return True

    def leave(self, address: str) -> None:
        source = source_of(address)
        self._count -= 1
        self._counts[source] -= 1
        if not self._counts[source]:
            del self._counts[source]

    async def watch(self, connections: Collection[Any]) -> None:
        """Ends connections whose request does not come in time, and notices standstills. Never returns."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(until_shared_s(CHECK_EVERY_S))
            self.arrivals.alive()
            now_s = loop.time()
            for connection in [one for one in connections if one.due_s < now_s]:
                connection.end_overdue()


class GuardedProtocol(HttpToolsProtocol):
    """One connection. The whole request must be there by `due_s` (on loop.time()).

    `ConnectionLimits.watch` checks that, which is cheaper than a timer for each request.
    """

    def __init__(self, limits: ConnectionLimits, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.due_s = math.inf
        self._limits = limits
        self._caller = CallerConnection()
        self._address: str | None = None
        self._in_head = True
        self._in_chunks = False  # the body of this request comes in chunks, with a trailer behind it
        self._received = 0  # bytes of its head, or of its trailer, before the data that was just read
        self._chunk = 0  # bytes of that data

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        peer, port = self.client or ("?", 0)  # unknown if the caller is gone already
        address = plain(peer)
        self.client = (address, port)
        self._caller.sock = transport.get_extra_info("socket")
        if not self._limits.enter(address):
            self._end(b"503 Service Unavailable", b'{"error":"too many connections"}')
            return
        self._address = address
        self.due_s = self.loop.time() + self._limits.receive_within_s

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.due_s = math.inf
        self._caller.is_gone = True
        if self._caller.on_gone:
            self._caller.on_gone()
        if self._address is not None:
            self._limits.leave(self._address)
            self._address = None

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._chunk = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # the request is answered as if it had not asked for an upgrade
        except httptools.HttpParserError as error:
            if not isinstance(error.__context__, StopParsing):
                self._limits.refused("not_http")
                self._end(b"400 Bad Request", b'{"error":"this is not HTTP"}')
            return
        self._received += len(data)
        if (self._in_head or self._in_chunks) and self._received > self._limits.header_bytes:
            self._refuse_head()
        elif self.due_s == math.inf and self.cycle is not None and self.cycle.response_complete:
            # bytes that begin nothing, and have ended the keep-alive
            self.due_s = self.loop.time() + self._limits.receive_within_s

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MAX_PIPELINED:  # the answers to those before it come first: it gets none
            self._limits.refused("pipelined_requests")
            self.transport.abort()
            raise StopParsing
        super().on_message_begin()
        self.due_s = self.loop.time() + self._limits.receive_within_s
        self.scope["state"]["arrival"] = self._limits.arrivals.begun(self._caller)
        self._in_head = True
        self._received = 0

    def on_headers_complete(self) -> None:
        # Mostly all received bytes together are less than a head may have: then the head is not measured.
        if self._received + self._chunk > self._limits.header_bytes:
            head_bytes = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if head_bytes > self._limits.header_bytes:
                self._refuse_head()
                raise StopParsing
        self._in_head = False
        super().on_headers_complete()
        if self.scope["method"] != "HEAD":
            self.cycle.transport = AnswerWriter(self.transport)  # type: ignore[assignment]  # all that it uses

    def on_chunk_header(self) -> None:
        """A chunk of the body begins, or its trailer: fields that nobody reads, and that are no headers."""
        self._in_chunks = True
        self._received = -self._chunk
        self.headers = []

    def on_body(self, body: bytes) -> None:
        if self._in_chunks:
            self._received = -self._chunk
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.due_s = math.inf
        self._in_chunks = False
        super().on_message_complete()
        if self.cycle.response_complete:  # answered before its body was there: no other timer runs
            self.due_s = self.loop.time() + self.timeout_keep_alive

    def end_overdue(self) -> None:
        self.due_s = math.inf
        self._limits.refused("receive_within_s")
        self.transport.abort()

    def _refuse_head(self) -> None:
        self._limits.refused("header_bytes")
        if self._in_chunks:  # it may be answered already: another answer would be that of the next request
            self.transport.abort()
            return
        self._end(b"431 Request Header Fields Too Large", b'{"error":"the head of the request is too large"}')

    def _end(self, status: bytes, body: bytes) -> None:
        """Sends the reason, unless another answer is under way, and closes the connection."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()
            return
        head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\nconnection: close\r\n"
        self.transport.write(head % status + b"content-length: %d\r\n\r\n%b" % (len(body), body))
        self.transport.close()


@dataclass(slots=True)
class AnswerWriter:
    """The transport of one answer: its head and the first part of its body leave at once.

    uvicorn writes them one after the other: two system calls, and two packets for the mod. The head of a
    stream is written at once, because its body may come much later.
    """

    transport: asyncio.Transport
    _begun: bool = False
    _head: bytes = b""

    def write(self, data: bytes) -> None:
        """Writes what uvicorn writes: `100 Continue`, the head of the answer, or a part of its body."""
        if self._head:
            data, self._head = self._head + data, b""
        elif not self._begun and not data.startswith(_CONTINUE):
            self._begun = True
            if _STREAMED not in data:
                self._head = data
                return
        if not self.transport.is_closing():  # it was aborted while the answer was made
            self.transport.write(data)

    def is_closing(self) -> bool:
        return self.transport.is_closing()

    def close(self) -> None:
        """Closes the connection, also if the answer broke off behind its head."""
        if self._head:
            self.write(b"")
        self.transport.close()


def files() -> int:
    """The number of files that this process may have open, after raising it as far as the system allows."""
    if sys.platform == "win32":
        return 8192
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS: "unlimited" is more than it takes
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft if soft > 0 else 1_000_000
