"""The proxy of the tests does what it says; otherwise the tests that lean on it prove nothing."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.proxy import Proxy
from tests.support.waiting import until


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """In front of a server that says everything back."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with Proxy(*server.sockets[0].getsockname()) as made:
        yield made
    server.close()
    await server.wait_closed()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, line: bytes, within_s: float = 30.0) -> bytes:
        self.writer.write(line)
        async with asyncio.timeout(within_s):
            return await self.reader.readline()


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    yield Client(reader, writer)
    writer.close()


async def test_data_passes_in_both_directions(client: Client) -> None:
    assert await client.say(b"hello\n") == b"hello\n"


async def test_a_dropped_reply_was_seen_and_never_comes(proxy: Proxy, client: Client) -> None:
    seen: list[bytes] = []
    proxy.on_reply = seen.append
    proxy.drop_replies = True
    with pytest.raises(TimeoutError):
        await client.say(b"hello\n", within_s=0.2)
    await until(lambda: seen)
    with pytest.raises(TimeoutError):
        await client.say(b"", within_s=0.2)
    assert seen == [b"hello\n"]


async def test_data_that_is_held_back_passes_later(proxy: Proxy, client: Client) -> None:
    proxy.passing.clear()
    with pytest.raises(TimeoutError):
        await client.say(b"hello\n", within_s=0.2)
    proxy.passing.set()
    assert await client.reader.readline() == b"hello\n"


async def test_a_delayed_reply_is_late(proxy: Proxy, client: Client) -> None:
    proxy.reply_delay_s = 0.2
    begun_s = asyncio.get_running_loop().time()
    assert await client.say(b"hello\n") == b"hello\n"
    assert asyncio.get_running_loop().time() - begun_s >= 0.19


async def test_a_reset_tears_the_connection(proxy: Proxy, client: Client) -> None:
    assert await client.say(b"hello\n")
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        await client.reader.readline()


async def test_jitter_is_asked_for_each_piece(proxy: Proxy, client: Client) -> None:
    late = iter((0.0, 0.2))
    proxy.jitter = lambda: next(late)
    assert await client.say(b"first\n")
    begun_s = asyncio.get_running_loop().time()
    assert await client.say(b"second\n")
    assert asyncio.get_running_loop().time() - begun_s >= 0.19


async def test_a_cut_lets_a_part_of_the_replies_pass(proxy: Proxy, client: Client) -> None:
    proxy.cut_after_bytes = 8
    assert await client.say(b"first\n") == b"first\n"
    client.writer.write(b"second\n")
    with pytest.raises(ConnectionResetError):
        while await client.reader.read(100):
            pass


async def test_a_stopped_proxy_keeps_the_end_of_a_connection_to_itself(proxy: Proxy, client: Client) -> None:
    proxy.passing.clear()
    client.writer.write_eof()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await client.reader.read()
    proxy.passing.set()
    assert await client.reader.read() == b""
