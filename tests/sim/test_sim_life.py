"""The simulated players, and the entry functions of the command line."""

import asyncio
import random
import re
import sys
import time
from collections.abc import Coroutine
from contextlib import closing, suppress
from typing import Any

import orjson
import pytest

from services.sim.dayz.generations import Generation
from services.sim.dayz.server import DayzServer, SimModConfig
from services.sim.main import happen, print_line, run_mod, run_takaro
from tests.support.watchers import Watchers


async def history(seed: int) -> list[bytes]:
    game, written = DayzServer(SimModConfig(""), Generation.SCANNER), list[bytes]()
    game.emit_raw = written.append  # type: ignore[method-assign]
    chance = random.Random(seed)
    for _ in range(400):
        happen(game, chance, players=6)
        assert len(game.world.players) <= 6
    return [re.sub(rb'"timestamp":"[^"]*"', b"", event) for event in written]


@pytest.mark.skipif(sys.platform == "win32", reason="its clock cannot be set for one process")
def test_a_line_has_the_time_of_day_here_as_the_log_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as at:
        at.setenv("TZ", "Pacific/Kiritimati")
        time.tzset()
        print_line("hello")
        hour = time.strftime("%H")
    time.tzset()
    assert capsys.readouterr().out.startswith(f"{hour}:")


async def test_the_same_seed_gives_the_same_events_of_all_six_types() -> None:
    first, again, other = await history(1), await history(1), await history(2)
    assert first == again != other
    types = {event.split(b'"')[3] for event in first}
    assert types == {
        b"player-connected",
        b"player-disconnected",
        b"chat-message",
        b"player-death",
        b"entity-killed",
        b"log",
    }


class PrintedLines(Watchers):
    """The lines that a simulator prints."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[str] = []

    def add(self, line: str) -> None:
        self.all.append(line)
        self.notify()

    async def seen(self, work: Coroutine[Any, Any, None], *texts: str) -> None:
        """Run `work`, which never ends by itself, until each of `texts` is in some line."""
        task = asyncio.create_task(work)
        await self.wait_for(lambda: all(any(text in line for line in self.all) for text in texts), 30)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_run_takaro_prints_its_address() -> None:
    lines = PrintedLines()
    await lines.seen(run_takaro(registration_tokens={"r"}, on_line=lines.add), "listening at ws://127.0.0.1:")


async def test_run_mod_registers_and_sends_events() -> None:
    received: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(asyncio.IncompleteReadError, ConnectionError):  # the mod may have gone
            received.append(await reader.readuntil(b"\r\n\r\n"))
            body = orjson.dumps({"identityToken": "i", "gameServerId": "g", "operations": []})
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    lines = PrintedLines()
    mod = run_mod(url=url, registration_token="r", rate=500, on_line=lines.add)
    await lines.seen(mod, "registered as g", "chat-message")
    server.close()
    assert received[0].startswith(b"POST /gameserver/register ")
