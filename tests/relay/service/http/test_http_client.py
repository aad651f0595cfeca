"""The HTTP client for calls to others, against a real web server that answers what a test sets."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from services.relay.service.http.client import HttpAnswer, call


@dataclass
class RawServer:
    answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n"
    port: int = 0
    heads: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(self.answer)
        writer.close()

    async def get(self, max_bytes: int = 1000) -> HttpAnswer:
        url = f"http://127.0.0.1:{self.port}/the-secret-path"
        return await call("GET", url, within_s=30.0, max_bytes=max_bytes)


@pytest.fixture
async def peer() -> AsyncIterator[RawServer]:
    peer = RawServer()
    async with await asyncio.start_server(peer.serve, "127.0.0.1", 0) as server:
        peer.port = server.sockets[0].getsockname()[1]
        yield peer


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
async def test_a_proxy_of_the_environment_is_not_used(
    peer: RawServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await peer.get()).succeeded


async def test_a_redirect_is_an_answer_and_not_followed(peer: RawServer) -> None:
    peer.answer = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n"
    answer = await peer.get()
    assert (answer.status, answer.succeeded, len(peer.heads)) == (302, False, 1)


@pytest.mark.parametrize("max_bytes", [0, 1, 10, 1000])
async def test_a_body_is_read_up_to_its_limit(peer: RawServer, max_bytes: int) -> None:
    peer.answer = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 500
    assert (await peer.get(max_bytes)).body == b"x" * min(500, max_bytes)


async def test_an_answer_that_is_not_http_is_a_value_error(peer: RawServer) -> None:
    peer.answer = b"+PONG\r\n"
    with pytest.raises(ValueError, match="it does not answer as a web server does"):
        await peer.get()


async def test_a_head_without_an_end_is_refused(peer: RawServer) -> None:
    peer.answer = b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000
    with pytest.raises(ValueError, match="it does not answer as a web server does"):
        await peer.get()


async def test_a_refused_connection_is_described_as_the_operating_system_does() -> None:
    with pytest.raises(OSError, match="Errno 111"):
        await call("GET", "http://127.0.0.1:1/", within_s=30.0, max_bytes=0)


async def test_a_server_that_hangs_is_an_error_with_a_reason() -> None:
    release = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TimeoutError, match="no answer in time"):
            await call("GET", f"http://127.0.0.1:{port}/", within_s=0.2, max_bytes=0)
        release.set()


@pytest.mark.parametrize("url", ["http://[", "http://127.0.0.1:99999999/", "gopher://127.0.0.1/"])
async def test_an_impossible_url_is_an_error_that_callers_expect(url: str) -> None:
    with pytest.raises((OSError, ValueError)):
        await call("GET", url, within_s=30.0, max_bytes=0)


async def test_no_url_is_logged(peer: RawServer, caplog: pytest.LogCaptureFixture) -> None:
    """The path of a webhook and the key of a mod are secrets. httpx logs each URL at INFO."""
    caplog.set_level(logging.INFO)
    await peer.get()
    assert [record for record in caplog.records if "secret" in record.getMessage()] == []


@pytest.mark.parametrize(
    ("modules", "kept_out"),
    [
        ("services.cli.main, services.agent.main", "httpx"),
        ("services.cli.service, services.uplink.main", "httpx fastapi jinja2 typer redis"),
        ("services.cli.service, services.modapi.main", "httpx typer redis"),
        ("services.cli.supervisor", "httpx fastapi typer pydantic redis prometheus_client uvicorn"),
    ],
)
def test_modules_that_cost_memory_are_loaded_only_where_they_are_used(modules: str, kept_out: str) -> None:
    code = f"import sys, {modules}; print(*sys.modules.keys() & set({kept_out.split()!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
