"""Runs the load in separate processes. The bench calls them with JSON lines; each call has one answer."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

import uvloop

LINE_LIMIT_BYTES = 64 * 1024 * 1024

Commands = Mapping[str, Callable[..., Awaitable[Any]]]


class Peer:
    """`async with Peer("bench.sink") as sink: await sink.call("count")`."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", self._module, stdin=pipe, stdout=pipe, limit=LINE_LIMIT_BYTES
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process and self._process.stdin
        self._process.stdin.close()
        await self._process.wait()

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    async def call(self, name: str, **arguments: Any) -> Any:
        assert self._process and self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps([name, arguments]).encode() + b"\n")
        answer = await self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self._module} ended in {name}")
        return json.loads(answer)


def serve(make_commands: Callable[[], Commands]) -> None:
    """Answers calls until stdin is closed."""
    uvloop.run(_serve(make_commands))


async def _serve(make_commands: Callable[[], Commands]) -> None:
    commands = make_commands()
    calls = asyncio.StreamReader(limit=LINE_LIMIT_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(calls), sys.stdin)
    while line := await calls.readline():
        name, arguments = json.loads(line)
        print(json.dumps(await commands[name](**arguments)), flush=True)
