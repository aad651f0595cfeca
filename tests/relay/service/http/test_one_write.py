"""Head and body of an answer leave in one write. Streams, HEAD and `100 Continue` are as uvicorn has them."""

import asyncio
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from services.relay.protocol.limits import Limits
from services.relay.service.http.connection_limits import ConnectionLimits
from services.relay.service.http.listener import Listener

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


async def answers(scope: Scope, receive: Receive, send: Send) -> None:
    """ "/stream" is written in two pieces, "/broken" ends behind its head, "/read" reads the body first."""
    if scope["path"] == "/read":
        await receive()
    headers = [] if scope["path"] == "/stream" else [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if scope["path"] == "/broken":
        raise OSError
    if scope["path"] == "/stream":
        await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"ok", "more_body": True})
    await send({"type": "http.response.body", "body": b"" if scope["path"] == "/stream" else b"ok"})


class Socket(asyncio.Transport):
    """Remembers what is written to it, each write by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.writes.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        """Everything is there already."""

    def resume_reading(self) -> None:
        """Everything is there already."""


def connected(sock: Socket) -> tuple[Any, set[asyncio.Task[None]]]:
    """A connection by that socket, and the tasks that answer its requests."""
    listener = Listener(answers, ConnectionLimits(Limits()))
    listener.config.load()
    connection: Any = listener.config.http_protocol_class(listener.config, listener.server_state, {})  # type: ignore[call-arg]
    connection.connection_made(sock)
    return connection, listener.server_state.tasks


async def written(*requests: bytes) -> Socket:
    """The socket after these requests on one connection."""
    sock = Socket()
    connection, tasks = connected(sock)
    for request in requests:
        connection.data_received(request)
        await asyncio.gather(*tasks)
    connection.connection_lost(None)
    return sock


async def test_an_answer_is_one_write_and_the_connection_stays() -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert (await written(request, request)).writes == [OK + b"ok"] * 2


async def test_requests_in_a_row_are_answered_in_turn() -> None:
    sock = await written(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nHEAD / HTTP/1.1\r\nHost: x\r\n\r\n", b"")
    assert sock.writes == [OK + b"ok", OK]


async def test_a_head_has_no_body_and_the_next_answer_is_complete() -> None:
    sock = await written(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert sock.writes == [OK, OK + b"ok"]


async def test_a_stream_begins_before_there_is_something_in_it() -> None:
    sock = await written(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    assert sock.writes == [head, b"2\r\nok\r\n", b"0\r\n\r\n"]


async def test_a_body_that_waits_for_100_continue_gets_it_first() -> None:
    head = b"POST /read HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
    assert (await written(head + b"x")).writes == [b"HTTP/1.1 100 Continue\r\n\r\n", OK + b"ok"]


@pytest.mark.parametrize("path", [b"/", b"/broken", b"/stream"])
async def test_nothing_is_written_to_a_connection_that_was_ended(path: bytes) -> None:
    sock = Socket()
    connection, tasks = connected(sock)
    connection.data_received(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    sock.close()
    await asyncio.gather(*tasks)
    assert sock.writes == []


@pytest.mark.parametrize("path", [b"/", b"/broken"])
async def test_the_last_answer_is_written_before_the_connection_is_closed(path: bytes) -> None:
    sock = await written(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head = OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    assert sock.writes == [head + (b"ok" if path == b"/" else b"")] and sock.closed
