"""One connection to a Redis: dialled, logged in, and checked that a primary is at its other end.

It uses hiredis and asyncio. redis-py's `Connection` was tried in its place, without its clients and retries.
It costs the same CPU (60 to 65 us an event in batches of 50), and breaks what pipeline.py promises:
- It takes refusals such as LOADING for a broken connection, and the replies behind them are lost.
- It dials again inside `send_packed_command`, and nothing asks the new server whether it is a primary.
- `disconnect` still sends what is buffered, after the caller was told that the call failed.
- Its TLS context trusts the machine's authorities beside the URL's, and reads all of them at each dial.
tests/relay/store/test_store.py holds the second and the third, test_refusals.py what a refusal leads to.
"""

import asyncio
import errno
import math
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from hiredis import ProtocolError, Reader, pack_command

from services.relay.service.text_files import signature
from services.relay.store.durability import ServerFacts, server_facts_of
from services.relay.store.refusals import ConnectionLost, RedisRefusal, Unreachable
from services.relay.store.url import Endpoint, Login, Tls

DIAL_TIMEOUT_S = 1.0

READ_ON_TURNS = 4
"""Within this many turns of the loop what a server says that lets nobody in is read. To write to a connection
that it has closed would end it with that unread."""

STOOD_STILL_S = 0.1
HAND_ON_WITHIN_S = 0.25  # time after a standstill in which a reply that came during it reaches its caller

Argument = str | bytes | int

_SETTINGS = ("CONFIG", "GET", "append*", "no-appendfsync-on-rewrite", "maxmemory*")


def packed(command: Sequence[Argument]) -> bytes:
    """A command as it goes over the wire."""
    data: bytes = pack_command(tuple(command))  # type: ignore[arg-type]  # its stub knows one-word commands only
    return data


def fail_late(reply: asyncio.Future[Any], error: Exception, due_s: float) -> None:
    """The timer of a time limit, which was due at `due_s` on time.monotonic(). If it is late, this process
    stood still, and the reply may have come meanwhile without having reached its caller: it gets a moment
    more."""
    if reply.done():
        return
    if time.monotonic() - due_s > STOOD_STILL_S:
        reply.get_loop().call_later(HAND_ON_WITHIN_S, fail_late, reply, error, math.inf)
    else:
        reply.set_exception(error)


class Connection(asyncio.Protocol):
    """One connection, for one exchange at a time. `lost`: it cannot be used any more."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()  # to ask for it costs a system call
        self._reader = Reader(replyError=RedisRefusal)
        self._transport: asyncio.Transport | None = None
        self._replies: list[Any] = []
        self._wanted = 0
        self._arrived: asyncio.Future[None] | None = None
        self.lost = False
        self.heard_s = time.monotonic()  # when bytes last came

    async def exchange(self, commands: Sequence[bytes], replies: list[Any], within_s: float) -> None:
        """Sends commands and puts the reply to each of them into `replies`, refusals included. Raises
        ConnectionLost, TimeoutError, or is cancelled: then it is closed, and `replies` has what came."""
        if self.lost or self._transport is None:
            raise ConnectionLost("the connection is closed")
        self._replies, self._wanted = replies, len(commands)
        arrived = self._arrived = self._loop.create_future()
        due_s = time.monotonic() + within_s
        # asyncio.timeout costs three times
        timer = self._loop.call_later(within_s, fail_late, arrived, TimeoutError(), due_s)
        try:
            self._transport.writelines(commands)
            await arrived
        except BaseException:
            arrived.cancel()
            self.close()  # nobody waits for the replies that are still to come
            raise
        finally:
            timer.cancel()

    async def ask(self, *commands: Sequence[Argument]) -> list[Any]:
        """The replies to some commands. A server that lets nobody in (maxclients, protected mode) says why
        and closes, without having been asked: then that is in the ConnectionLost."""
        replies: list[Any] = []
        try:
            await self.exchange([packed(command) for command in commands], replies, DIAL_TIMEOUT_S)
        except ConnectionLost:
            with suppress(ProtocolError):  # it is no Redis
                said = replies[0] if replies else self._reader.gets()
                if isinstance(said, RedisRefusal):
                    raise ConnectionLost(str(said)) from None
            raise
        return replies

    def say(self, command: Sequence[Argument]) -> None:
        """Sends a command whose replies come as messages."""
        if self._transport:
            self._transport.write(packed(command))

    async def message(self) -> Any:
        """The next message on a subscribed connection."""
        if self.lost:
            raise ConnectionLost("the connection is closed")
        replies: list[Any] = []
        self._replies, self._wanted = replies, 1
        self._arrived = self._loop.create_future()
        self._read()
        try:
            await self._arrived
        finally:
            self._arrived = None
        return replies[0]

    def close(self) -> None:
        """Ends it at once."""
        self.lost = True
        if self._transport:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has no such base

    def data_received(self, data: bytes) -> None:
        self.heard_s = time.monotonic()
        self._reader.feed(data)
        self._read()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        if self._arrived and not self._arrived.done():
            self._arrived.set_exception(ConnectionLost(str(error or "the server closed the connection")))

    def _read(self) -> None:
        replies, wanted = self._replies, self._wanted
        while len(replies) < wanted:
            reply = self._reader.gets()
            if reply is False:
                return
            replies.append(reply)
        if self._arrived and not self._arrived.done():
            self._arrived.set_result(None)


async def dial(endpoint: Endpoint, login: Login, db: int = 0, tls: Tls | None = None) -> Connection:
    """A connection that is logged in. Raises Unreachable."""
    loop = asyncio.get_running_loop()
    with _dialling(endpoint) as opened:
        async with asyncio.timeout(DIAL_TIMEOUT_S):
            if endpoint.path:
                dialled = loop.create_unix_connection(Connection, endpoint.path)
            else:
                context = ssl_context(tls) if tls else None
                dialled = loop.create_connection(Connection, endpoint.host, endpoint.port, ssl=context)
            transport, connection = await dialled
            opened.append(connection)
            if not endpoint.path:
                handle = transport.get_extra_info("socket")
                handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # the other machine may be gone
            for _ in range(READ_ON_TURNS):
                await asyncio.sleep(0)
            commands: list[tuple[Argument, ...]] = []
            if login.password:
                commands.append(("AUTH", *filter(None, [login.user]), login.password))
            if db:
                commands.append(("SELECT", db))
            for reply in await connection.ask(*commands) if commands else ():
                if isinstance(reply, RedisRefusal):
                    raise reply
    return connection


async def dial_primary(
    endpoint: Endpoint, login: Login, db: int = 0, tls: Tls | None = None
) -> tuple[Connection, ServerFacts]:
    """A connection to a server that says that it is a primary and ready, and its facts: a promoted replica
    may have worse settings, and a server that comes back may have changed. Raises Unreachable."""
    connection = await dial(endpoint, login, db, tls)
    with _dialling(endpoint) as opened:
        opened.append(connection)
        async with asyncio.timeout(DIAL_TIMEOUT_S):  # unlike INFO, PING is refused while data is loaded
            ready, info, settings = await connection.ask(("PING",), ("INFO",), _SETTINGS)
        for reply in (ready, info):
            if isinstance(reply, RedisRefusal):
                raise reply
        # A managed server refuses CONFIG.
        texts = [] if isinstance(settings, RedisRefusal) else [part.decode() for part in settings]
        shown = dict(zip(texts[::2], texts[1::2], strict=True))
        facts = server_facts_of(info.decode(errors="replace"), shown)
        if not facts.primary:
            raise Unreachable(f"{endpoint}: it is a replica")
    return connection, facts


async def ask_at(
    endpoint: Endpoint, login: Login, tls: Tls | None, within_s: float, *commands: Sequence[Argument]
) -> list[Any]:
    """The replies of a server to some commands, by a connection for them alone. Raises Unreachable, also if
    it refuses one of them."""
    with _dialling(endpoint, within_s) as opened:
        async with asyncio.timeout(within_s):
            connection = await dial(endpoint, login, tls=tls)
            opened.append(connection)
            replies = await connection.ask(*commands)
        connection.close()
        for reply in replies:
            if isinstance(reply, RedisRefusal):
                raise reply
    return replies


@contextmanager
def _dialling(endpoint: Endpoint, within_s: float = DIAL_TIMEOUT_S) -> Iterator[list[Connection]]:
    """Closes the connections in its list if what is done with them fails. Raises Unreachable."""
    opened: list[Connection] = []
    try:
        yield opened
    except BaseException as error:
        for connection in opened:
            connection.close()
        if not isinstance(error, OSError | TimeoutError | ConnectionLost | RedisRefusal):  # OSError: TLS too
            raise
        if f"[Errno {errno.ECONNREFUSED}]" in str(error):  # by one address, or by all of a name
            raise Unreachable(f"nobody listens on {endpoint}") from error
        why = str(error) or f"no answer within {within_s:g} s"
        raise Unreachable(f"{endpoint}: {why}", error if isinstance(error, RedisRefusal) else None) from error


def ssl_context(tls: Tls) -> ssl.SSLContext:
    """With the files as they are now. Raises OSError when one cannot be read or is no certificate."""
    files = filter(None, (tls.ca_certs, tls.certfile, tls.keyfile))
    return _ssl_context(tls, *[signature(Path(file)) for file in files])


@lru_cache(maxsize=1)  # to read the machine's authorities took 65 ms
def _ssl_context(tls: Tls, *written: object) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca_certs or None)
    context.check_hostname = tls.check_hostname
    if not tls.verify:
        context.verify_mode = ssl.CERT_NONE
    if tls.certfile:
        context.load_cert_chain(tls.certfile, tls.keyfile or None)
    return context
