"""The way to one primary: the calls of one turn of the loop leave in one pipeline, one after the other.

With `appendfsync always` every round trip costs an fsync, so calls that come while a pipeline is under way
wait for the next one (group commit).

How the calls of an instance keep their order:
- All calls of its cluster slot wait here, and one round trip is under way at a time.
- A call that was refused without being carried out goes back to the head, before all that came later.
- A call that was carried out, or may have been, is never sent again here.
- A call whose caller has gone (its reply was cancelled) is not sent, unless it is `kept`.

So a refused call can be overtaken only by one behind it in the same pipeline, and not by one of its own kind:
a server that begins to refuse (it is a replica now, or a slot or a key has gone) refuses to the end of the
pipeline, and a new connection is given nothing before its server has said that it is ready.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from services.relay.protocol.errors import StoreError, StoreRefused
from services.relay.store.calls import PipelineTerms, Script, StoreCall, TooFewReplicas, exchange
from services.relay.store.clock import StoreClock
from services.relay.store.connection import Connection
from services.relay.store.durability import ServerFacts, refusal
from services.relay.store.refusals import RedisRefusal, Retry, Unreachable, store_error, verdict_on
from services.relay.store.sentinels import SinglePrimary
from services.relay.store.url import Endpoint

RETRY_EVERY_S = 0.1
SLOT_RETRY_EVERY_S = 0.02
"""Pause while a slot moves. The calls of other slots on the same server wait for it too."""

logger = logging.getLogger(__name__)


class Pipeline:
    """The calls for the primary at one place. `waiting` calls and `hints` go with the next pipeline.
    `round_ended` is called between pipelines."""

    def __init__(
        self,
        topology: SinglePrimary,
        place: Endpoint,
        terms: PipelineTerms,
        round_ended: Callable[["Pipeline"], None],
    ) -> None:
        self.place = place
        self.clock = StoreClock()
        self.facts: ServerFacts | None = None
        self.refuses = ""
        self.waiting: list[StoreCall] = []
        self.under_way: list[StoreCall] = []
        self.hints: dict[str, set[str]] = {}
        self._topology = topology
        self._terms = terms
        self._round_ended = round_ended
        self._connection: Connection | None = None
        self._sending: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        return self._sending is None

    def put(self, call: StoreCall) -> None:
        """Sends a call with the next pipeline."""
        call.until = min(call.until, time.monotonic() + self._terms.call_timeout_s)
        self.waiting.append(call)
        if self._sending is None:
            self._sending = self._terms.loop.create_task(self._send_all())

    def hint(self, channel: str, slug: str) -> None:
        """Publishes a slug behind the commands of the next pipeline."""
        self.hints.setdefault(channel, set()).add(slug)
        if self._sending is None:
            self._sending = self._terms.loop.create_task(self._send_all())

    def learn_facts(self, facts: ServerFacts) -> None:
        """Takes in what the server says of itself now."""
        self.facts = facts
        self.refuses = refusal(facts, relaxed=self._terms.relaxed)

    async def close(self) -> None:
        """Waits up to `call_timeout_s` for the pipeline under way, and closes the connection."""
        if sending := self._sending:
            _, left = await asyncio.wait([sending], timeout=self._terms.call_timeout_s)
            if left:
                sending.cancel()
                await asyncio.wait([sending])
        self.disconnect()

    def disconnect(self) -> None:
        """Closes the connection. Nobody knows then which calls of the pipeline under way were carried out."""
        if self._connection:
            self._connection.close()

    async def _send_all(self) -> None:
        """Sends the waiting calls, and those that come meanwhile, until none is left."""
        calls: list[StoreCall] = []
        try:
            while True:
                self._round_ended(self)
                if not self.waiting and not self.hints:
                    return
                calls, self.waiting = self.waiting, []
                hints, self.hints = self.hints, {}
                self.under_way = calls
                try:
                    pause_s = await self._pipeline(calls, hints)
                except Exception as error:  # a fault of ours: no caller may wait for ever
                    logger.exception("a pipeline to Redis failed")
                    for call in calls:  # nobody knows which of them were carried out
                        call.fail(StoreError(f"the relay failed to ask Redis: {error}"))
                    self.disconnect()
                    pause_s = RETRY_EVERY_S
                finally:
                    self.under_way = []
                if pause_s:
                    self._round_ended(self)
                    await asyncio.sleep(pause_s if self.waiting else 0)
        except asyncio.CancelledError:  # by `close`
            for call in (*calls, *self.waiting):
                call.fail(StoreError("Redis: no answer before this service stopped"))
            raise
        finally:
            self._sending = None

    async def _pipeline(self, calls: list[StoreCall], hints: dict[str, set[str]]) -> float:
        """Sends calls in one round trip and answers them. Returns how long to wait before the next one."""
        begun_s = time.monotonic()
        try:
            connection = self._connection
            if connection is None or connection.lost:
                connection, facts = await self._topology.dial(self.place)
                self._connection = connection
                self.learn_facts(facts)
        except Unreachable as error:
            self._terms.took(time.monotonic() - begun_s, False)
            self._put_back([(call, error) for call in calls], hints)
            await self._topology.learn()
            return RETRY_EVERY_S
        if self.refuses:
            for call in calls:
                if call.durable and not (call.script and call.script.drains):
                    call.fail(StoreRefused(self.refuses))
        calls = [call for call in calls if not call.given_up]  # no `await` between this and the write
        if not calls and not hints:
            return 0.0
        replies = await exchange(connection, calls, hints, self._terms)
        if any(isinstance(reply, TooFewReplicas) for reply in replies):
            # The replicas may follow a new primary, and this server does not know yet that it is a replica.
            connection.close()
            await self._topology.learn()
        refused = [
            (call, reply)
            for call, reply in zip(calls, replies, strict=True)
            if call.settle(reply) and isinstance(reply, RedisRefusal)
        ]
        if not refused:
            return 0.0
        return await self._refused(refused, hints)

    async def _refused(
        self, refused: list[tuple[StoreCall, RedisRefusal]], hints: dict[str, set[str]]
    ) -> float:
        """Does what the refusals ask for, and puts the calls back. Returns how long to wait."""
        pause_s, anew = 0.0, False
        unknown: list[StoreCall] = []
        asked: dict[str, list[StoreCall]] = {}
        for call, reply in refused:
            verdict = verdict_on(reply)
            match verdict.retry:
                case Retry.WITH_SCRIPT:
                    unknown.append(call)
                case Retry.MOVED:
                    self._topology.moved(verdict.slot, verdict.node, self.place)
                    pause_s = max(pause_s, SLOT_RETRY_EVERY_S)
                case Retry.ASK:
                    asked.setdefault(verdict.node, []).append(call)
                case Retry.LATER:
                    pause_s = max(pause_s, SLOT_RETRY_EVERY_S)
                case Retry.RECONNECT:
                    pause_s, anew = RETRY_EVERY_S, True
        _bring_scripts(unknown)
        for node, calls in asked.items():
            if await self._ask(node, calls):
                pause_s = max(pause_s, SLOT_RETRY_EVERY_S)
        if anew:
            self.disconnect()
            await self._topology.learn()
        self._put_back(refused, hints)
        return pause_s

    async def _ask(self, node: str, calls: list[StoreCall]) -> bool:
        """Tries calls at the server to which their keys are moving. True: some must be sent again. It is a
        part of the round trip under way: later calls wait, so the order stays."""
        try:
            connection = await self._topology.dial_named(node, self.place)
        except Unreachable:
            return True
        calls = [call for call in calls if not call.given_up]
        replies: list[Any] = []
        try:
            if calls:  # else no reply would come
                replies = await exchange(connection, calls, {}, self._terms, asking=True)
        finally:
            connection.close()
        again = [(call, reply) for call, reply in zip(calls, replies, strict=True) if call.settle(reply)]
        _bring_scripts([call for call, reply in again if verdict_on(reply).retry is Retry.WITH_SCRIPT])
        return bool(again)

    def _put_back(self, refused: Sequence[tuple[StoreCall, Exception]], hints: dict[str, set[str]]) -> None:
        """Puts calls back to the head that a caller still waits for and that have time left."""
        now_s = time.monotonic()
        waiting = []
        for call, error in refused:
            if call.given_up:
                continue
            if now_s < call.until:
                waiting.append(call)
            else:
                call.fail(store_error(error))
        self.waiting[:0] = waiting
        if refused:  # some may have been carried out elsewhere since: a hint must come behind its command
            for channel, slugs in hints.items():
                self.hints.setdefault(channel, set()).update(slugs)


def _bring_scripts(calls: list[StoreCall]) -> None:
    """Has the first call of each script bring its text: then the server knows it for the later calls."""
    brought: set[Script] = set()
    for call in calls:
        if call.script and call.script not in brought:
            brought.add(call.script)
            call.command = ("EVAL", call.script.text, *call.command[2:])
