"""The one way to Redis, the same on a single server, behind Sentinels and on a Cluster.

Each primary has a pipeline of its own (pipeline.py). It sends a call again that was refused without being
carried out, for up to 2 s, and never one that may have been carried out. Callers that may repeat such a
call do so themselves.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from functools import cached_property, partial
from itertools import chain
from typing import Any, TypeVar

from services.relay.protocol.errors import NotCarriedOut, StoreError
from services.relay.store import durability
from services.relay.store.calls import Script, StoreCall, ignore_error
from services.relay.store.clock import StoreClock
from services.relay.store.cluster import Cluster, slot_of
from services.relay.store.connection import Argument
from services.relay.store.durability import ServerFacts
from services.relay.store.pipeline import CALL_TIMEOUT_S, RETRY_EVERY_S, Pipeline, Topology
from services.relay.store.refusals import ConnectionLost, RedisRefusal, Unreachable, store_error
from services.relay.store.sentinels import Sentinels
from services.relay.store.single_primary import SinglePrimary
from services.relay.store.subscription import PROBE_EVERY_S, Subscription
from services.relay.store.url import Endpoint, StoreKind, parse

__all__ = ("CLOCK", "RETRY_EVERY_S", "Script", "Store", "pairs", "patiently", "steadily")

T = TypeVar("T")

CLOCK = Script("clock")
"""Redis' clock: seconds and microseconds. Its key may be any of an instance."""

SUBSCRIBE_AGAIN_S = 1.0
_PROBES = "relay:wake:probe:"


class Store:
    """Redis or Valkey, shared by everything in one process.

    A store that is not `opened` refuses all calls: the settings of Redis must be checked first. `replicas`
    is the number of replicas that must have the writes of a durable call before its reply counts; None: 1
    with Sentinels or a Cluster, else none. `relaxed`: settings of Redis that can lose data are accepted.
    `took` is called with each round trip: seconds, and whether it was answered. `call_timeout_s` is that of
    the pipelines.
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
        self._opened = opened
        self._relaxed = relaxed
        self._took = took
        self._call_timeout_s = call_timeout_s
        self.replicas = int(parsed.kind is not StoreKind.ALONE) if replicas is None else replicas
        self._pipelines: dict[Endpoint, Pipeline] = {}
        self._pinned: dict[int, Pipeline] = {}
        self._topology: Topology
        match parsed.kind:
            case StoreKind.CLUSTER:
                self._topology = Cluster(parsed, self._pin_slots)
            case StoreKind.SENTINEL:
                self._topology = Sentinels(parsed, self._leave_primary)
            case StoreKind.ALONE:
                self._topology = SinglePrimary(parsed)
        self._slotted = parsed.kind is StoreKind.CLUSTER
        self._only = None if self._slotted else self._pipeline_at(self._topology.place_of(0))

    # Calls

    @cached_property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of all calls. To ask for the running one costs a system call each time."""
        return asyncio.get_running_loop()

    def send(self, *command: Argument) -> asyncio.Future[Any]:
        """Sends a command with the next pipeline; the future gives its reply. The second word is a key.

        Raises (through the future) StoreError: then nobody knows whether the command was carried out, unless
        it is a NotCarriedOut.

        If the future is cancelled before the command is sent, it is not sent. A command that must be sent all
        the same goes by `send_unawaited`, or by `run_until(…, though_cancelled=True)`.
        """
        slot = slot_of(str(command[1])) if self._slotted else 0
        return self._put(StoreCall(command, self.loop.create_future(), slot))

    def send_unawaited(self, *command: Argument) -> None:
        """Sends a command whose reply nobody waits for, and whose loss does no harm."""
        self.send(*command).add_done_callback(ignore_error)

    def run(
        self,
        script: Script,
        keys: Sequence[str],
        *args: Argument,
        durable: bool = False,
        orphaned: Callable[[Any], object] | None = None,
    ) -> asyncio.Future[Any]:
        """Runs a script like `send`; all keys are of one instance. A server that lacks the script gets it.

        `durable`: the reply counts only if enough replicas have what the script wrote; StoreError otherwise,
        and StoreRefused while the settings of this Redis could lose it. `orphaned` is called with the reply
        to a call that was cancelled after it was sent.
        """
        command = ("EVALSHA", script.digest, len(keys), *keys, *args)
        slot = slot_of(keys[0]) if self._slotted else 0
        reply = self.loop.create_future()
        return self._put(StoreCall(command, reply, slot, script, durable, orphaned=orphaned))

    async def run_until(
        self,
        within_s: float,
        script: Script,
        keys: Sequence[str],
        *args: Argument,
        durable: bool = False,
        though_cancelled: bool = False,
    ) -> Any:
        """Like `run`, repeated while Redis is away, for up to `within_s` from now.

        Only for scripts that do no harm when they run twice. `durable` covers the writes of each run, and of
        an earlier run that the script finds done. So a script that finds its work done writes something all
        the same: WAIT waits for the last write of its own connection, and returns at once if there was none
        (measured on Valkey 9). `though_cancelled`: a run that has begun is sent even if its caller is
        cancelled.
        """
        end_s = time.monotonic() + within_s
        error = StoreError(f"Redis: no answer within {within_s:g} s")
        command = ("EVALSHA", script.digest, len(keys), *keys, *args)
        slot = slot_of(keys[0]) if self._slotted else 0
        while (now_s := time.monotonic()) < end_s:
            reply = self.loop.create_future()
            call = StoreCall(command, reply, slot, script, durable, end_s, kept=though_cancelled)
            # The last run may outlast `end_s`. A timer costs 0.7 us, asyncio.timeout 4 us.
            timer = self.loop.call_later(end_s - now_s, call.fail_late, error, end_s)
            try:
                return await self._put(call)
            except StoreError as refused:
                error = refused
            finally:
                timer.cancel()
            if time.monotonic() + RETRY_EVERY_S >= end_s:
                break
            await asyncio.sleep(RETRY_EVERY_S)
        raise error

    def clock_of(self, key: str) -> StoreClock:
        """The clock of the primary that has this key. Callers whose reply has the time call its `observe`."""
        return (self._only or self._pipeline_of(slot_of(key))).clock

    async def known_clock(self, key: str) -> StoreClock:
        """The same clock. It is read now if no reply has shown the time lately. Raises StoreError."""
        clock = self.clock_of(key)
        if time.monotonic() < clock.known_until_s:
            return clock
        await self.read_clock(key)
        return self.clock_of(key)  # a slot may have moved

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
            (self._only or self._pipeline_of(slot_of(f"{{{slug}}}"))).hint(channel, slug)

    async def hints(
        self, *channels: str, probe_every_s: float = PROBE_EVERY_S
    ) -> AsyncIterator[tuple[str, list[str]]]:
        """Yields channels and the instances that their hints name. None at first: subscribed. Raises
        StoreError."""
        async for channel, slugs in self.messages(*channels, probe_every_s=probe_every_s):
            yield channel, slugs.decode().split(" ") if slugs else []

    async def messages(
        self, *channels: str, probe_every_s: float = PROBE_EVERY_S
    ) -> AsyncIterator[tuple[str, bytes]]:
        """Yields channels and messages. An empty message at first: subscribed. Raises StoreError.

        It publishes a hint to itself now and then. If that does not arrive, the server stands still, was cut
        off or is no primary any more, which is an error too.
        """
        probe = _PROBES + secrets.token_hex(8)
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

    async def ping(self) -> None:
        """Raises StoreError when a primary does not answer."""
        slots = self._topology.places().values()
        calls = [self._put(StoreCall(("PING",), self.loop.create_future(), slot)) for slot in slots]
        await asyncio.gather(*calls)

    async def close(self) -> None:
        """Waits for the calls under way. Later calls fail."""
        self._opened = False
        while True:
            await asyncio.gather(*(pipeline.close() for pipeline in list(self._pipelines.values())))
            if all(
                pipeline.idle for pipeline in self._pipelines.values()
            ):  # else a call has moved from one to another
                self._topology.close()
                return

    # Whether the servers are trusted

    def open(self) -> None:
        """Allows calls: the settings of this Redis are good."""
        self._opened = True

    async def inspect(self) -> list[ServerFacts]:
        """Reads facts and settings of every primary. Raises StoreError if one does not answer."""
        if self._slotted:
            await self._topology.learn()
        places = list(self._topology.places())
        looked = await asyncio.gather(*(self._inspect_at(place) for place in places), return_exceptions=True)
        for place, pipeline in list(self._pipelines.items()):
            if place not in places and pipeline.idle:  # it serves no slot any more
                self._pipelines.pop(place, None)  # another look may have done so
                await pipeline.close()
        for found in looked:
            if isinstance(found, Unreachable):
                raise store_error(found) from found
            if isinstance(found, BaseException):
                raise found
        return self.facts

    async def _inspect_at(self, place: Endpoint) -> None:
        connection, facts = await self._topology.dial(place)
        connection.close()
        self._pipeline_at(place).learn_facts(facts)

    @property
    def facts(self) -> list[ServerFacts]:
        """The facts of all primaries, as far as they are known."""
        pipelines = [self._pipelines.get(place) for place in self._topology.places()]
        return [pipeline.facts for pipeline in pipelines if pipeline and pipeline.facts]

    @property
    def kind(self) -> StoreKind:
        return self._topology.kind

    def losses(self) -> list[str]:
        """One line for each setting of the primaries that can lose data, with the fix."""
        found = chain.from_iterable(durability.complaints(facts.settings) for facts in self.facts)
        return list(dict.fromkeys(found))

    def refusals(self) -> list[str]:
        """Why durable calls are refused; empty if they are not."""
        return list(dict.fromkeys(filter(None, map(self._judge, self.facts))))

    def summary(self) -> str:
        """One line: what the store is, and what it survives."""
        return durability.summary(self.facts, self.kind, self.replicas)

    def described(self) -> str:
        """The same, with how it keeps data."""
        return durability.described(self.facts, self.kind, self.replicas)

    def labels(self) -> dict[str, str]:
        """The labels of the gauge `dayz_relay_store_info`."""
        return durability.labels(self.facts, self.kind, self.replicas)

    def shortage(self) -> str:
        """The complaint that too few replicas are there for durable calls, or ""."""
        there = min((facts.replicas for facts in self.facts), default=0)
        if there >= self.replicas:
            return ""
        return f"Redis: only {there} of {self.replicas} replicas are there: no event can be accepted"

    def _judge(self, facts: ServerFacts) -> str:
        losses = [] if self._relaxed else durability.complaints(facts.settings)
        return "\n".join(filter(None, [durability.too_old(facts), *losses]))

    # Pipelines

    def _put(self, call: StoreCall) -> asyncio.Future[Any]:
        if self._opened:
            (self._only or self._pipeline_of(call.slot)).put(call)
        else:
            call.fail(NotCarriedOut("Redis: not reached yet"))
        return call.reply

    def _pipeline_of(self, slot: int) -> Pipeline:
        """The pipeline of a slot. While a pipeline has calls of the slot, new ones go there too, so that they
        keep their order."""
        return self._pinned.get(slot) or self._pipeline_at(self._topology.place_of(slot))

    def _pipeline_at(self, place: Endpoint) -> Pipeline:
        pipeline = self._pipelines.get(place)
        if pipeline is None:
            pipeline = Pipeline(
                self._topology, place, self.replicas, self._judge, self._round_ended, self._took
            )
            pipeline.call_timeout_s = self._call_timeout_s
            self._pipelines[place] = pipeline
        return pipeline

    def _pin_slots(self) -> None:
        """The map of slots has changed: keeps slots at the pipeline that still has calls of them."""
        for pipeline in self._pipelines.values():
            for call in chain(pipeline.under_way, pipeline.waiting):
                if self._topology.place_of(call.slot) != pipeline.place:
                    self._pinned.setdefault(call.slot, pipeline)

    def _leave_primary(self) -> None:
        """The Sentinels replace the primary: what it confirms from now on may be lost."""
        for pipeline in self._pipelines.values():
            pipeline.disconnect()

    def _round_ended(self, pipeline: Pipeline) -> None:
        """Moves the waiting calls of a pipeline to the primaries of their slots. No call is under way now."""
        if self._pinned:
            self._pinned = {slot: holder for slot, holder in self._pinned.items() if holder is not pipeline}
            waiting, pipeline.waiting = pipeline.waiting, []
            for call in waiting:
                self._pipeline_of(call.slot).put(call)


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Repeats a call until Redis answers. Only for calls that do no harm when they run twice."""
    while True:
        try:
            return await call()
        except StoreError:
            await asyncio.sleep(RETRY_EVERY_S)


async def steadily(
    listen: Callable[[], AsyncIterator[T]], lost: Callable[[], object] = lambda: None
) -> AsyncIterator[T]:
    """Yields the messages of a subscription, and subscribes again after each outage. `lost` is called at each
    end."""
    while True:
        try:
            async for one in listen():
                yield one
        except StoreError:
            lost()
            await asyncio.sleep(SUBSCRIBE_AGAIN_S)


def pairs(reply: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """The fields and values of a hash, which Redis replies in one flat list."""
    return zip(reply[::2], reply[1::2], strict=True)
