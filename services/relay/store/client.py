"""The one way to Redis, the same on a single server, behind Sentinels and on a Cluster.

Each primary has a pipeline of its own (pipeline.py). It sends a call again that was refused without being
carried out, for up to 2 s, and never one that may have been carried out. Callers that may repeat such a
call do so themselves.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from services.relay.protocol.errors import NotCarriedOut, StoreError, StoreRefused
from services.relay.protocol.keys import PROBES
from services.relay.store.calls import CALL_TIMEOUT_S, PipelineTerms, Script, StoreCall, ignore_error
from services.relay.store.clock import StoreClock
from services.relay.store.connection import Argument, fail_late
from services.relay.store.pipeline import RETRY_EVERY_S
from services.relay.store.primaries import Primaries
from services.relay.store.refusals import ConnectionLost, RedisRefusal, Unreachable, store_error
from services.relay.store.subscription import PROBE_EVERY_S, Subscription
from services.relay.store.url import StoreKind, parse

__all__ = ("CLOCK", "RETRY_EVERY_S", "Script", "Store", "pairs", "until_redis_answers", "resubscribing")

T = TypeVar("T")

CLOCK = Script("clock")  # Redis' clock: seconds and microseconds. Its key may be any of an instance.

_SMALL_WRITE = Script("small_write")

SUBSCRIBE_AGAIN_S = 1.0

logger = logging.getLogger(__name__)


class Store(Primaries):
    """Redis or Valkey, shared by everything in one process and one event loop.

    `replicas` must have the writes of a durable call before its reply counts; None: 1 with Sentinels or a
    Cluster, else 0. `relaxed`: settings of Redis that can lose data are accepted. `took` and `call_timeout_s`
    are those of PipelineTerms.
    """

    def __init__(
        self,
        url: str,
        *,
        opened: bool = True,
        replicas: int | None = None,
        relaxed: bool = False,
        took: Callable[[float, bool], None] = lambda took_s, ok: None,
        call_timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        parsed = parse(url)
        if replicas is None:
            replicas = int(parsed.kind is not StoreKind.ALONE)
        self.loop = asyncio.get_running_loop()  # to ask for it at each call would cost a system call
        terms = PipelineTerms(self.loop, replicas, relaxed, took, call_timeout_s)
        super().__init__(parsed, terms, opened=opened)

    def send(self, *command: Argument) -> asyncio.Future[Any]:
        """Sends a command with the next pipeline; the future gives its reply. The second word is a key.

        Raises (through the future) StoreError: then nobody knows whether the command was carried out, unless
        it is a NotCarriedOut. If the future is cancelled before the command is sent, it is not sent: see
        `send_unawaited`, and `though_cancelled` of `run_until`.
        """
        reply = self.loop.create_future()
        self.put(StoreCall(command, reply), str(command[1]) if len(command) > 1 else "")
        return reply

    def send_unawaited(self, *command: Argument) -> None:
        """Sends a command whose reply nobody waits for, and whose loss does no harm."""
        self.send(*command).add_done_callback(ignore_error)

    def write(self, command: str, key: str, *args: Argument) -> asyncio.Future[Any]:
        """Like `send`, for a small write of bounded data: Redis takes it also when its memory is full."""
        return self.run(_SMALL_WRITE, (key,), command, *args)

    def write_unawaited(self, command: str, key: str, *args: Argument) -> None:
        """Such a write whose reply nobody waits for, and whose loss does no harm."""
        self.write(command, key, *args).add_done_callback(ignore_error)

    def run(
        self,
        script: Script,
        keys: Sequence[str],
        *args: Argument,
        durable: bool = False,
        orphaned: Callable[[Any], object] | None = None,
        undo: Callable[[Any], tuple[Argument, ...]] | None = None,
    ) -> asyncio.Future[Any]:
        """Runs a script like `send`; all keys are of one instance.

        `durable`: the reply counts only if enough replicas have what the script wrote; StoreError otherwise,
        and StoreRefused while the settings of this Redis could lose it. `orphaned` is called with the reply
        to a call that was cancelled after it was sent. `undo`: see StoreCall.
        """
        command = ("EVALSHA", script.digest, len(keys), *keys, *args)
        reply = self.loop.create_future()
        self.put(StoreCall(command, reply, 0, script, durable, orphaned=orphaned, undo=undo), keys[0])
        return reply

    async def run_until(
        self,
        within_s: float,
        script: Script,
        keys: Sequence[str],
        *args: Argument,
        durable: bool = False,
        though_cancelled: bool = False,
        once: bool = False,
    ) -> Any:
        """Like `run`, repeated while Redis is away, for up to `within_s` from now.

        Only for scripts that do no harm when they run twice. A `durable` one writes something even if it
        finds its work done: WAIT waits for the last write of its own connection. `though_cancelled`: a run
        that has begun is sent even if its caller is cancelled. `once`: it is not sent again after it may have
        been carried out. Raises NotCarriedOut if no run was carried out, StoreError if one may have been.
        """
        end_s = time.monotonic() + within_s
        error = StoreError(f"Redis: no answer within {within_s:g} s")
        maybe_done = False
        command = ("EVALSHA", script.digest, len(keys), *keys, *args)
        while (now_s := time.monotonic()) < end_s:
            reply = self.loop.create_future()
            call = StoreCall(command, reply, 0, script, durable, end_s, kept=though_cancelled)
            # Otherwise the last run could outlast `end_s`. A timer costs 0.7 us, asyncio.timeout 4 us.
            late = StoreError(str(error)) if isinstance(error, NotCarriedOut) else error
            timer = self.loop.call_later(end_s - now_s, fail_late, reply, late, end_s)
            self.put(call, keys[0])
            try:
                return await reply
            except StoreError as refused:
                error = refused
                maybe_done = maybe_done or not isinstance(refused, NotCarriedOut)
            finally:
                timer.cancel()
            if time.monotonic() + RETRY_EVERY_S >= end_s or (once and maybe_done):
                break
            await asyncio.sleep(RETRY_EVERY_S)
        raise StoreError(str(error)) if maybe_done and isinstance(error, NotCarriedOut) else error

    def clock_of(self, key: str) -> StoreClock:
        """The clock of the primary that has this key. Callers whose reply has the time call its `observe`."""
        return self.pipeline_for(key).clock

    async def redis_us(self, key: str, moment_s: float) -> tuple[int, int]:
        """What the primary that has this key shows at a moment of time.monotonic(), in microseconds: at least
        and at most. It is asked now if no reply has shown the time lately. Raises StoreError."""
        clock = self.clock_of(key)
        if time.monotonic() >= clock.known_until_s:
            await self.read_clock(key)
            clock = self.clock_of(key)  # a slot may have moved
        moment_us = int(moment_s * 1_000_000)
        return moment_us + clock.least_ahead_us, moment_us + clock.most_ahead_us

    async def read_clock(self, key: str) -> int:
        """Reads the clock of the primary that has this key, in microseconds. Raises StoreError."""
        asked_s = time.monotonic()
        seconds, microseconds = await self.run(CLOCK, (key,))
        redis_us = int(seconds) * 1_000_000 + int(microseconds)
        self.clock_of(key).observe(redis_us, asked_s, time.monotonic())
        return redis_us

    def hint(self, channel: str, slug: str) -> None:
        """Publishes on `channel` that there is something to read of an instance, behind its waiting calls."""
        if self._opened:
            self.pipeline_for(f"{{{slug}}}").hint(channel, slug)

    async def hints(self, *channels: str) -> AsyncIterator[tuple[str, list[str]]]:
        """Yields channels and the instances that their hints name. An empty list at first: it is
        subscribed. Raises StoreError."""
        async for channel, slugs in self.messages(*channels):
            yield channel, slugs.decode().split(" ") if slugs else []

    async def messages(
        self, *channels: str, probe_every_s: float = PROBE_EVERY_S
    ) -> AsyncIterator[tuple[str, bytes]]:
        """Yields channels and messages. An empty message at first: it is subscribed. Raises StoreError, also
        if a hint to itself does not arrive: the server stands still, was cut off or is no primary any more.
        """
        probe = PROBES + secrets.token_hex(8)
        try:
            connection = await self._topology.dial_any()
        except Unreachable as error:
            raise store_error(error) from error
        subscribed = Subscription(
            connection, (probe, *channels), partial(self.hint, probe, ""), probe_every_s
        )
        try:
            while True:
                kind, channel, body, *_ = await subscribed.message()
                if channel.decode() != probe:
                    yield channel.decode(), body if kind == b"message" else b""
        except (ConnectionLost, RedisRefusal) as error:
            why = StoreError("Redis: hints do not come through") if subscribed.silent else store_error(error)
            raise why from error
        finally:
            subscribed.close()


async def until_redis_answers(call: Callable[[], Awaitable[T]]) -> T:
    """Repeats a call until Redis answers. Only for calls that do no harm when they run twice."""
    while True:
        try:
            return await call()
        except StoreError:
            await asyncio.sleep(RETRY_EVERY_S)


async def resubscribing(
    listen: Callable[[], AsyncIterator[T]], lost: Callable[[], object] = lambda: None
) -> AsyncIterator[T]:
    """Yields the messages of a subscription. After each outage it calls `lost` and subscribes again."""
    logged = False
    while True:
        try:
            async for one in listen():
                yield one
        except StoreError as error:
            if isinstance(error, StoreRefused) and not logged:  # nobody else learns of it
                logger.warning("no hints come, so everything is a second slower: %s", error)
                logged = True
            lost()
            await asyncio.sleep(SUBSCRIBE_AGAIN_S)


def pairs(reply: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """The fields and values of a hash, which Redis replies in one flat list."""
    return zip(reply[::2], reply[1::2], strict=True)
