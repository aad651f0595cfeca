"""Hundreds of hostile connections, and good mods beside them."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import orjson

BAD_ADDRESSES = [f"127.0.0.{n}" for n in (2, 3, 4)]
HEAD = b"POST /k/%b/gameserver/x/events HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


@dataclass
class Gang:
    """Connections that send `first`, then `drip` each second. `ended_s`: after how long each was closed."""

    first: bytes
    drip: bytes
    begun_s: float = field(default_factory=time.monotonic)
    ended_s: list[float] = field(default_factory=list)
    refused: int = 0

    async def run(self, port: int, count: int, address: str) -> None:
        await asyncio.gather(*(self._one(port, address) for _ in range(count)))

    async def _one(self, port: int, address: str) -> None:
        begun_s = time.monotonic()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
        except OSError:
            self.refused += 1
            return
        with contextlib.suppress(OSError):
            writer.write(self.first)
            reading = asyncio.create_task(reader.read())
            while not reading.done():
                await asyncio.wait([reading], timeout=1.0)
                if self.drip and not reading.done():
                    writer.write(self.drip)
            with contextlib.suppress(OSError):
                reading.result()
        self.ended_s.append(time.monotonic() - begun_s)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def gangs(key: str) -> dict[str, Gang]:
    """Three kinds of hostile connections. Those with slow bodies have the good key `key`."""
    return {
        "silent": Gang(b"", b""),
        "slow head": Gang(b"POST /k/x/gameserver/x/events HTTP/1.1\r\n", b"x-a: b\r\n"),
        "slow body": Gang(HEAD % (key.encode(), 1000), b"x"),
    }


class GoodMod:
    """Posts batches of events on one connection, one after the other, and measures how long each takes."""

    def __init__(self, port: int, key: str, pause_s: float = 0.1, events: int = 5) -> None:
        self.took_s: list[float] = []
        self.begun_s: list[float] = []  # on time.monotonic(), for each POST
        self.statuses: dict[int, int] = {}
        self._port, self._key, self._pause_s, self._events = port, key, pause_s, events
        self._number = 0

    async def run(self) -> None:
        """Never returns."""
        reader = writer = None
        try:
            while True:
                if writer is None or reader is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                try:
                    await self._call(reader, writer)
                except (OSError, asyncio.IncompleteReadError):
                    self.statuses[0] = self.statuses.get(0, 0) + 1
                    writer.close()
                    reader = writer = None
                await asyncio.sleep(self._pause_s)
        finally:
            if writer:
                writer.close()

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._number += 1
        lines = [{"type": "log", "msg": f"{self._key} {self._number} {n}"} for n in range(self._events)]
        body = orjson.dumps({"events": lines})
        begun_s = time.monotonic()
        writer.write(HEAD % (self._key.encode(), len(body)) + body)
        status = await read_answer(reader)
        self.took_s.append(time.monotonic() - begun_s)
        self.begun_s.append(begun_s)
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if status >= 400:
            raise OSError


async def read_answer(reader: asyncio.StreamReader) -> int:
    """Reads an answer with its body, and returns its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length")
    )
    await reader.readexactly(length)
    return int(head.split()[1])


@contextlib.asynccontextmanager
async def running(mods: Sequence[GoodMod]) -> AsyncIterator[None]:
    """Runs these mods during the block."""
    tasks = [asyncio.create_task(mod.run()) for mod in mods]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def percentile(took_s: Sequence[float], percent: float) -> float:
    ordered = sorted(took_s)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
