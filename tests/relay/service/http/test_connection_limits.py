"""The limits of a listener for strangers, each over a real socket."""

import asyncio
import contextlib
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from services.relay.protocol.errors import ConfigError
from services.relay.protocol.limits import Limits
from services.relay.service.http.addresses import networks
from services.relay.service.http.connection_limits import (
    KEEP_ALIVE_S,
    MAX_PIPELINED,
    ConnectionLimits,
)
from services.relay.service.http.listener import Certificate, Listener
from services.relay.service.http.ports import bind
from services.relay.service.lifecycle import cancelled
from tests.support.certificates import make_certificate
from tests.support.waiting import until

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
SOON_S = 15.0
"""Far less than KEEP_ALIVE_S, after which any quiet connection is closed."""


async def answers(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the body and says ok; "/early" answers before that, "/held?3" after 3 s, "/names" with the
    names of the headers."""
    if scope["path"] == "/held":
        await asyncio.sleep(int(scope["query_string"]))
    more = scope["path"] != "/early"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message.get("more_body", False)
    body = b"ok" if scope["path"] != "/names" else b" ".join(name for name, _ in scope["headers"])
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Served:
    """A listener with these limits, and what it counted."""

    def __init__(
        self,
        limits: Limits,
        certificate: Certificate | None = None,
        trusted: str = "",
        keep_alive_s: int = KEEP_ALIVE_S,
    ) -> None:
        self.refused: Counter[str] = Counter()
        sock = bind("127.0.0.1", 0, "test")
        self.port: int = sock.getsockname()[1]
        guard = ConnectionLimits(
            limits, lambda limit: self.refused.update([limit]), networks(trusted.split())
        )
        self._strangers: list[Stranger] = []
        self._serving = asyncio.create_task(Listener(answers, guard, certificate, keep_alive_s).listen(sock))

    async def open(self, context: ssl.SSLContext | None = None) -> "Stranger":
        since_s = time.monotonic()
        stranger = Stranger(*await asyncio.open_connection("127.0.0.1", self.port, ssl=context))
        stranger.since_s = since_s
        self._strangers.append(stranger)
        return stranger

    async def stop(self) -> None:
        for stranger in self._strangers:
            stranger.writer.close()
            with contextlib.suppress(OSError):
                await stranger.writer.wait_closed()
        await cancelled(self._serving)


class Stranger:
    """A connection of a stranger."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.since_s = 0.0
        """A moment before it was opened, or before it last spoke by `says`."""

    async def says(self, data: bytes) -> bytes:
        """Sends `data`, and returns the first bytes of the answer."""
        self.since_s = time.monotonic()
        self.writer.write(data)
        async with asyncio.timeout(30):
            return await self.reader.read(4096)

    async def closed_after_s(self, drip: bytes = b"", every_s: float = 0.2) -> float:
        """Sends `drip` again and again. Returns the seconds from `since_s` until the connection is closed."""
        reading = asyncio.create_task(self.reader.read())
        async with asyncio.timeout(60):
            while not reading.done():
                with contextlib.suppress(OSError):
                    if drip:
                        self.writer.write(drip)
                await asyncio.wait([reading], timeout=every_s)
        with contextlib.suppress(OSError):
            reading.result()
        return time.monotonic() - self.since_s


Serve = Callable[..., Served]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Makes listeners. Requests have plenty of time to arrive, unless a test says how much."""
    made: list[Served] = []

    def one(
        certificate: Certificate | None = None,
        trusted: str = "",
        keep_alive_s: int = KEEP_ALIVE_S,
        **limits: float,
    ) -> Served:
        within = Limits(**{"receive_within_s": 60, **limits})
        made.append(Served(within, certificate, trusted, keep_alive_s))
        return made[-1]

    yield one
    for each in made:
        await each.stop()


@pytest.mark.parametrize(
    ("first", "drip"),
    [
        (b"", b""),
        (b"", b"\r\n"),
        (b"GET / HTTP/1.1\r\n", b""),
        (b"GET / HTTP/1.1\r\n", b"x: y\r\n"),
        (b"POST / HTTP/1.1\r\nContent-Length: 999\r\n\r\n", b""),
        (b"POST / HTTP/1.1\r\nContent-Length: 999\r\n\r\n", b"x"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
    ids=["silent", "line breaks", "half a head", "slow head", "no body", "slow body", "slow chunks"],
)
async def test_a_request_that_does_not_come_in_time_ends_its_connection(
    serve: Serve, first: bytes, drip: bytes
) -> None:
    served = serve(receive_within_s=1)
    stranger = await served.open()
    stranger.writer.write(first)
    assert 0.9 < await stranger.closed_after_s(drip) < SOON_S
    assert served.refused == {"receive_within_s": 1}


async def test_a_connection_that_was_good_once_gets_no_more_time(serve: Serve) -> None:
    stranger = await serve(receive_within_s=1).open()
    assert b"200" in await stranger.says(GET)
    assert await stranger.closed_after_s(b"\r\n") < SOON_S


async def test_a_second_request_has_to_come_in_time_too(serve: Serve) -> None:
    stranger = await serve(receive_within_s=1).open()
    assert b"200" in await stranger.says(GET)
    stranger.writer.write(b"POST / HTTP/1.1\r\nContent-Length: 999\r\n\r\n")
    assert 0.9 < await stranger.closed_after_s(b"x") < SOON_S


async def test_a_connection_that_was_answered_before_its_body_does_not_stay_for_ever(
    serve: Serve,
) -> None:
    stranger = await serve(keep_alive_s=1, receive_within_s=1).open()
    assert b"200" in await stranger.says(b"POST /early HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
    stranger.writer.write(b"x" * 9)
    assert 0.9 < await stranger.closed_after_s() < SOON_S


async def test_an_answer_before_the_body_gives_no_more_time(serve: Serve) -> None:
    stranger = await serve(receive_within_s=1).open()
    assert b"200" in await stranger.says(b"POST /early HTTP/1.1\r\nContent-Length: 999\r\n\r\n")
    assert await stranger.closed_after_s(b"x") < SOON_S


async def test_a_held_poll_and_a_quiet_connection_stay_open(serve: Serve) -> None:
    served = serve(receive_within_s=1)
    stranger = await served.open()
    assert b"200" in await stranger.says(b"GET /held?3 HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(1.6)  # longer than a request may take to come
    assert b"200" in await stranger.says(GET)
    assert not served.refused


@pytest.mark.parametrize("name_bytes", [20, 1000])
async def test_a_head_beyond_its_limit_is_refused(serve: Serve, name_bytes: int) -> None:
    served = serve(header_bytes=4096)
    lines = b"".join(b"x-%d: " % n + b"y" * name_bytes + b"\r\n" for n in range(5000 // name_bytes))
    assert b" 200 " in await (await served.open()).says(b"GET / HTTP/1.1\r\n" + lines[:2000] + b"\r\n\r\n")
    assert b" 431 " in await (await served.open()).says(b"GET / HTTP/1.1\r\n" + lines + b"\r\n")
    assert b" 431 " in await (await served.open()).says(b"GET / HTTP/1.1\r\n" + lines)
    assert b" 431 " in await (await served.open()).says(b"GET /" + b"x" * 5000)
    assert served.refused == {"header_bytes": 3}


async def test_a_long_body_does_not_count_as_a_long_head(serve: Serve) -> None:
    served = serve(header_bytes=1024)
    body = b"x" * 50_000
    stranger = await served.open()
    for _ in range(2):
        assert b" 200 " in await stranger.says(
            b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )
    assert not served.refused


@pytest.mark.parametrize("drip", [b"a: b\r\n" * 500, b"x" * 3000], ids=["fields", "one field"])
@pytest.mark.parametrize("path", [b"/", b"/early"])
async def test_a_trailer_beyond_the_limit_of_a_head_is_refused(
    serve: Serve, path: bytes, drip: bytes
) -> None:
    """The parser keeps the fields behind a body in chunks like those of a head."""
    served = serve(header_bytes=4096)
    stranger = await served.open()
    stranger.writer.write(b"POST %b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" % path)
    stranger.writer.write(b"2\r\nok\r\n0\r\nx:")
    assert await stranger.closed_after_s(drip) < SOON_S
    assert served.refused == {"header_bytes": 1}


async def test_a_trailer_is_not_read_as_headers(serve: Serve) -> None:
    """A caller behind a trusted proxy could name another address by it."""
    stranger = await serve().open()
    answer = await stranger.says(
        b"POST /names HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"
    )
    assert answer.endswith(b"\r\n\r\ntransfer-encoding")


@pytest.mark.parametrize("path", [b"/", b"/early"])
async def test_a_long_body_in_chunks_and_a_short_trailer_are_taken(serve: Serve, path: bytes) -> None:
    served = serve(header_bytes=1024)
    head = b"POST %b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" % path
    chunk = b"2000\r\n" + b"x" * 0x2000 + b"\r\n"
    stranger = await served.open()
    for _ in range(2):
        stranger.writer.write(head)
        for start in range(0, len(chunk), 2000):
            stranger.writer.write(chunk[start : start + 2000])
            await asyncio.sleep(0.02)  # each of them is a read of its own
        assert b" 200 " in await stranger.says(chunk + b"0\r\nx: y\r\n\r\n")
    assert not served.refused


async def test_a_request_is_not_answered_twice_if_its_trailer_is_too_long(serve: Serve) -> None:
    served = serve(header_bytes=1024)
    stranger = await served.open()
    head = b"POST /early HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert b" 200 " in await stranger.says(head + b"2\r\nok\r\n0\r\nx: ")
    with contextlib.suppress(ConnectionResetError):
        assert await stranger.says(b"y" * 2000) == b""
    assert served.refused == {"header_bytes": 1}


async def test_connections_of_one_address_are_limited_and_come_back(serve: Serve) -> None:
    served = serve(connections_per_address=3)
    there = [await served.open() for _ in range(3)]
    assert b" 503 " in await (await served.open()).says(b"")
    assert served.refused == {"connections_per_address": 1}
    assert b"200" in await there[0].says(GET)
    there[0].writer.close()

    async def answer() -> bytes:
        return await (await served.open()).says(GET)

    await until(answer, met=lambda answer: b"200" in answer)


async def test_connections_in_all_are_limited_also_those_of_a_trusted_proxy(serve: Serve) -> None:
    served = serve(trusted="127.0.0.0/8", connections=4, connections_per_address=1)
    there = [await served.open() for _ in range(4)]
    assert [b"200" in await one.says(GET) for one in there] == [True] * 4
    assert b" 503 " in await (await served.open()).says(b"")
    assert served.refused == {"connections": 1}


async def test_connections_that_ended_are_not_counted(serve: Serve) -> None:
    served = serve(connections=5, connections_per_address=5)
    for data in (b"", GET, b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n") * 3:
        stranger = await served.open()
        stranger.writer.write(data)
        await stranger.writer.drain()
        stranger.writer.close()

    async def room_for_all() -> bool:
        there = [await served.open() for _ in range(5)]
        answers = [await one.says(GET) for one in there]
        for one in there:
            one.writer.close()
        return all(b" 200 " in answer for answer in answers)

    await until(room_for_all)


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"nonsense\r\n\r\n",
        b"GET \xff HTTP/1.1\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ],
)
async def test_bytes_that_are_not_http_are_refused_without_a_line_in_the_log(
    serve: Serve, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    served = serve()
    assert b" 400 " in await (await served.open()).says(data)
    assert served.refused == {"not_http": 1} and not caplog.records


async def test_a_request_for_another_protocol_is_answered_as_a_plain_one(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = await serve().open()
    upgrade = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert b" 200 " in await stranger.says(upgrade)
    assert not caplog.records


async def test_requests_do_not_queue_up_without_end_behind_one_that_is_held(serve: Serve) -> None:
    served = serve()
    stranger = await served.open()
    held = b"GET /held?60 HTTP/1.1\r\nHost: x\r\n\r\n"
    assert await stranger.closed_after_s(held * (MAX_PIPELINED + 2), 5.0) < SOON_S
    assert served.refused == {"pipelined_requests": 1}


# TLS


def believing(cert: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(cert))


async def shown(served: Served) -> str:
    """The name in the certificate that a client is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    stranger = await served.open(context)
    der = stranger.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    stranger.writer.close()
    return next(name for name in ("old.example", "new.example") if name.encode() in der)


async def until_shown(served: Served, name: str) -> None:
    await until(lambda: shown(served), met=lambda found: found == name)


async def test_mods_are_served_by_tls(serve: Serve, tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path, "old.example")
    served = serve(Certificate(cert, key))
    stranger = await served.open(believing(cert))
    assert b"200" in await stranger.says(GET)
    assert b"200" in await stranger.says(GET)


async def test_without_a_handshake_a_connection_is_counted_and_ended(serve: Serve, tmp_path: Path) -> None:
    certificate = Certificate(*make_certificate(tmp_path, "old.example"), handshake_within_s=2.5)
    served = serve(certificate, connections_per_address=2)
    silent = [await served.open() for _ in range(2)]
    assert await (await served.open()).closed_after_s() < 2.0  # before the time of a handshake is over
    assert served.refused == {"connections_per_address": 1}
    assert 2.4 < await silent[0].closed_after_s() < SOON_S
    assert await silent[1].closed_after_s() < SOON_S
    assert b"200" in await (await served.open(believing(tmp_path / "cert.pem"))).says(GET)


async def test_a_slow_request_ends_its_connection_by_tls_too(serve: Serve, tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path, "old.example")
    stranger = await serve(Certificate(cert, key), receive_within_s=1).open(believing(cert))
    assert 0.9 < await stranger.closed_after_s(b"\r\n") < SOON_S


@pytest.mark.parametrize("bad", ["no certificate", "the certificate of another key"])
async def test_a_certificate_is_taken_up_when_its_files_change_and_only_if_it_is_good(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture, bad: str
) -> None:
    caplog.set_level("INFO")
    cert, key = make_certificate(tmp_path, "old.example")
    served = serve(Certificate(cert, key, check_every_s=0.05))
    assert await shown(served) == "old.example"
    (tmp_path / "other").mkdir()
    other, _ = make_certificate(tmp_path / "other", "new.example")
    cert.write_text(other.read_text() if "another" in bad else bad)
    await until(lambda: "The certificate from before stays in use" in caplog.text)
    assert await shown(served) == "old.example"
    make_certificate(tmp_path, "new.example")
    await until_shown(served, "new.example")


def test_old_tls_and_renegotiation_are_not_offered(tmp_path: Path) -> None:
    """Today's OpenSSL refuses both by default. This must also be true with other settings of a system."""
    context = Certificate(*make_certificate(tmp_path, "old.example")).context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda cert, key: cert.unlink(), "cannot be read: No such file"),
        (lambda cert, key: cert.write_text("x"), "no certificate and its key"),
        (lambda cert, key: key.write_text(cert.read_text()), "no certificate and its key"),
    ],
)
def test_a_certificate_that_is_wrong_at_the_start_is_one_clear_line(
    tmp_path: Path, spoil: Callable[[Path, Path], object], words: str
) -> None:
    cert, key = make_certificate(tmp_path, "old.example")
    spoil(cert, key)
    with pytest.raises(ConfigError, match=words) as caught:
        Certificate(cert, key)
    assert "\n" not in str(caught.value) and "modapi.tls_cert" in str(caught.value)
