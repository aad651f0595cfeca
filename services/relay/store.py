"""The one way to Redis: commands that arrive in one turn of the loop leave in one pipeline.

With `appendfsync always` every round trip costs an fsync, so what comes in while one pipeline is under
way is gathered for the next (group commit). redis-py's own retries are off: they would repeat commands
whose reply was lost (research/reliability.md 2). What is safe to repeat says so at its call.
"""

import asyncio
import hashlib
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any, TypeVar

from hiredis import pack_command
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, NoScriptError, RedisError, ResponseError

from services.relay.errors import StoreError

T = TypeVar("T")

CALL_TIMEOUT_S = 2.0
"""How long one round trip may take. A mod's request must be answered well within 3 s (contract.md A2)."""

RETRY_EVERY_S = 0.1

Argument = str | bytes | int


class Script:
    """A Lua script of scripts/, which Redis knows by its digest."""

    def __init__(self, name: str) -> None:
        self.name = name

    @cached_property
    def text(self) -> str:
        return (files("services.relay") / "scripts" / f"{self.name}.lua").read_text()

    @cached_property
    def digest(self) -> str:
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class _Call:
    command: tuple[Argument, ...]
    reply: asyncio.Future[Any]
    script: Script | None = None


class Store:
    """A connection to Redis or Valkey, shared by everything in one process.

    A store that is not `opened` refuses all use: nothing is accepted on the word of a Redis whose settings
    were not judged yet.
    """

    def __init__(self, url: str, *, opened: bool = True) -> None:
        self._opened = opened
        self.redis: Redis = Redis.from_url(
            url,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=None,  # one clock for a whole pipeline, not one for each reply
            socket_connect_timeout=CALL_TIMEOUT_S,
        )
        self._gathered: list[_Call] = []
        self._hints: dict[str, set[str]] = {}
        self._flight: asyncio.Task[None] | None = None
        self._connection: AbstractConnection | None = None

    def send(self, *command: Argument) -> asyncio.Future[Any]:
        """Sends a command with the next pipeline; the future gives its reply.

        Raises (through the future) StoreError: whether the command was carried out is then unknown.
        """
        return self._gather(command, None)

    def tell(self, *command: Argument) -> None:
        """Sends a command whose reply nobody waits for, and whose loss does no harm."""
        self.send(*command).add_done_callback(lambda reply: reply.cancelled() or reply.exception())

    def hint(self, channel: str, slug: str) -> None:
        """Tells whoever listens on `channel` to look at an instance, behind the commands of this pipeline."""
        self._hints.setdefault(channel, set()).add(slug)
        self._take_off()

    async def hints(self, *channels: str) -> AsyncIterator[tuple[str, list[str]]]:
        """Channel and instances hinted at, as they come; none at first: subscribed. Raises StoreError."""
        connection = None
        try:
            connection = await self._connect()
            await connection.send_command("SUBSCRIBE", *channels)
            while True:
                kind, channel, slugs = await connection.read_response(timeout=math.inf)
                yield channel.decode(), slugs.decode().split(" ") if kind == b"message" else []
        except (RedisError, OSError) as error:
            raise translated(error) from error
        finally:
            if connection:
                await connection.disconnect()  # it is subscribed: nobody else can use it
                await self.redis.connection_pool.release(connection)

    def run(self, script: Script, keys: Sequence[str], *args: Argument) -> asyncio.Future[Any]:
        """Runs a script like `send`. A Redis that restarted has forgotten it: then it is sent again whole."""
        return self._gather(("EVALSHA", script.digest, len(keys), *keys, *args), script)

    def _gather(self, command: tuple[Argument, ...], script: Script | None) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if not self._opened:
            future.set_exception(StoreError("Redis: not reached yet"))
            return future
        self._gathered.append(_Call(command, future, script))
        self._take_off()
        return future

    def _take_off(self) -> None:
        if self._flight is None and self._opened:
            self._flight = asyncio.create_task(self._fly())

    async def run_until(self, deadline_s: float, script: Script, keys: Sequence[str], *args: Argument) -> Any:
        """Like `run`, repeated while Redis is away, until `deadline_s` from now.

        Only for scripts that do no harm when they run twice.
        """
        end = time.monotonic() + deadline_s
        while True:
            try:
                return await self.run(script, keys, *args)
            except StoreError:
                if time.monotonic() + RETRY_EVERY_S >= end:
                    raise
                await asyncio.sleep(RETRY_EVERY_S)

    def open(self) -> None:
        """The settings of this Redis were found good."""
        self._opened = True

    async def settings(self, names: Sequence[str]) -> dict[str, str]:
        """Settings of the server itself; those that a managed one hides are left out. Raises StoreError."""
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                found = await self.redis.config_get(*names)
        except NoPermissionError:
            return {}
        except ResponseError as error:
            if "unknown command" in str(error).lower():
                return {}
            raise translated(error) from error
        except (RedisError, OSError, TimeoutError) as error:
            raise translated(error) from error
        return {str(name): str(value) for name, value in found.items()}

    async def ping(self) -> None:
        """Raises StoreError when Redis does not answer."""
        await self.send("PING")

    async def close(self) -> None:
        if self._flight:
            await asyncio.wait([self._flight], timeout=CALL_TIMEOUT_S)
        if self._connection:
            await self.redis.connection_pool.release(self._connection)
        await self.redis.aclose()

    async def _fly(self) -> None:
        """Sends what is gathered, and what is gathered meanwhile, until there is nothing."""
        try:
            while self._gathered or self._hints:
                batch, self._gathered = self._gathered, []
                hints, self._hints = self._hints, {}
                await self._pipeline(batch, hints)
        finally:
            self._flight = None

    async def _pipeline(self, batch: list[_Call], hints: dict[str, set[str]]) -> None:
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                replies = await self._exchange(batch, hints)
        except (RedisError, OSError, TimeoutError) as error:
            replies = [error] * len(batch)
        for call, reply in zip(batch, replies, strict=True):
            if call.reply.done():
                continue  # whoever asked was cancelled
            if isinstance(reply, Exception):
                call.reply.set_exception(translated(reply))
            else:
                call.reply.set_result(reply)

    async def _connect(self) -> AbstractConnection:
        connection: AbstractConnection = await self.redis.connection_pool.get_connection()  # type: ignore[no-untyped-call]
        return connection

    async def _exchange(self, batch: list[_Call], hints: dict[str, set[str]]) -> list[Any]:
        """One write, and the replies to it as they are. The connection mends itself with the next one.

        It goes below redis-py's pipeline, to its connection: that packs and reads at a tenth of the cost.
        """
        if self._connection is None:
            self._connection = await self._connect()
        connection = self._connection
        packed = [_packed(call.command) for call in batch]
        packed += [_packed(("PUBLISH", channel, " ".join(slugs))) for channel, slugs in hints.items()]
        await connection.send_packed_command(packed, check_health=False)
        replies = [await _reply(connection) for _ in packed][: len(batch)]
        for index, call in enumerate(batch):
            if isinstance(replies[index], NoScriptError) and call.script:
                whole = ("EVAL", call.script.text, *call.command[2:])
                await connection.send_packed_command([_packed(whole)], check_health=False)
                replies[index] = await _reply(connection)
        return replies


def _packed(command: tuple[Argument, ...]) -> bytes:
    packed: bytes = pack_command(command)  # type: ignore[arg-type]  # its stub knows one-word commands only
    return packed


async def _reply(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response(timeout=math.inf)  # _pipeline has the clock
    except ResponseError as error:
        return error


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Repeats a call until Redis is there. Only for calls that do no harm when they run twice."""
    while True:
        try:
            return await call()
        except StoreError:
            await asyncio.sleep(RETRY_EVERY_S)


def pairs(reply: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """The fields and values of a hash, which Redis replies in one flat list."""
    return zip(reply[::2], reply[1::2], strict=True)


def translated(error: Exception) -> StoreError:
    """What went wrong with Redis, as an error of ours (redis-py's are not the built-ins of that name)."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if text.startswith("OOM"):
        return StoreError("Redis is full (maxmemory): it takes no new events until some are delivered")
    return StoreError(f"Redis: {text[:200]}")
