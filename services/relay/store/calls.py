"""Calls to a primary, and a round trip: calls and hints go out together, and each call gets its reply."""

import asyncio
import contextlib
import hashlib
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

from services.relay.protocol.errors import NotCarriedOut, StoreError, StoreRefused
from services.relay.service.logs import about
from services.relay.store.connection import Argument, Connection, packed
from services.relay.store.refusals import ConnectionLost, RedisRefusal, Retry, store_error, verdict_on

logger = logging.getLogger(__name__)

CALL_TIMEOUT_S = 2.0
"""Limit of one round trip, and of sending a refused call again: a mod waits for 3 s (protocol.md M6)."""

WAIT_MS = 500  # time limit for the replicas to confirm. The next pipeline waits meanwhile.

_ASKING = packed(("ASKING",))


class Script:
    """A Lua script of scripts/, which Redis knows by its digest."""

    def __init__(self, name: str, *, drains: bool = False) -> None:
        self.name = name
        self.drains = drains  # it helps to empty Redis: it is allowed while new data is refused

    @cached_property
    def text(self) -> str:
        return (files("services.relay.store") / "scripts" / f"{self.name}.lua").read_text()

    @cached_property
    def digest(self) -> str:
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


@dataclass(slots=True, eq=False)
class StoreCall:
    """A command on its way. `slot` is 0 without a cluster; `until` is on time.monotonic(). If its reply is
    done before it is sent, its caller has gone or is out of time: it is not sent any more, unless it is
    `kept`. If it had been sent already, the value goes to `orphaned`. If too few replicas have it, it fails,
    and is undone first by the command that `undo` makes of its value; (): there is nothing to undo."""

    command: tuple[Argument, ...]
    reply: asyncio.Future[Any]
    slot: int = 0
    script: Script | None = None
    durable: bool = False
    until: float = math.inf
    orphaned: Callable[[Any], object] | None = None
    undo: Callable[[Any], tuple[Argument, ...]] | None = None
    kept: bool = False

    @property
    def given_up(self) -> bool:
        """Whether it need not be sent, or sent again."""
        return self.reply.done() and not self.kept

    def fail(self, error: StoreError) -> None:
        """Fails it, unless it has a reply already."""
        self.kept = False
        if not self.reply.done():  # otherwise the caller has gone
            self.reply.set_exception(error)

    def settle(self, reply: Any) -> bool:
        """Gives the reply to the caller. Returns True, and does not, if the call must be sent again."""
        if isinstance(reply, RedisRefusal):
            if not self.given_up and verdict_on(reply).retry is not Retry.NEVER:
                return True
            reply = store_error(reply)
            # No state of Redis that passes. Some callers go on repeating the call and say nothing.
            if isinstance(reply, StoreRefused) or not isinstance(reply, NotCarriedOut):
                what = self.script.name if self.script else str(self.command[0])
                logger.error("the store refuses %s: %s", what, reply, extra=about(what))
        self.kept = False
        if isinstance(reply, StoreError):
            self.fail(reply)
        elif not self.reply.done():
            self.reply.set_result(reply)
        elif self.orphaned:
            self.orphaned(reply)
        return False


class TooFewReplicas(StoreError):
    """The call was carried out, but too few replicas have it: it may be lost with this server."""


@dataclass(frozen=True, slots=True)
class PipelineTerms:
    """What all pipelines of a store have in common. `took` is called with the seconds of each round trip and
    whether it was answered."""

    loop: asyncio.AbstractEventLoop
    replicas: int  # number of replicas that must have the writes of durable calls
    relaxed: bool  # settings of Redis that can lose data are accepted
    took: Callable[[float, bool], None]
    call_timeout_s: float


async def exchange(
    connection: Connection,
    calls: list[StoreCall],
    hints: dict[str, set[str]],
    terms: PipelineTerms,
    *,
    asking: bool = False,
) -> list[Any]:
    """The reply to each call: a value, a RedisRefusal, or a StoreError. `asking`: the server takes calls for
    a slot that is still on its way to it."""
    commands = [packed(call.command) for call in calls]
    if asking:
        commands = [part for command in commands for part in (_ASKING, command)]
    count = len(commands)
    for channel, slugs in hints.items():
        commands.append(packed(("PUBLISH", channel, " ".join(slugs))))
    durable = terms.replicas and any([call.durable for call in calls])
    if durable:
        commands.append(packed(("WAIT", terms.replicas, WAIT_MS)))
    replies: list[Any] = []
    error: StoreError | None = None
    begun_s = time.monotonic()
    try:
        await connection.exchange(commands, replies, terms.call_timeout_s)
    except ConnectionLost as lost:
        error = store_error(lost)
    except TimeoutError:
        error = StoreError(f"Redis: no answer within {terms.call_timeout_s:g} s")
    terms.took(time.monotonic() - begun_s, error is None)
    why = error or (_unconfirmed(replies[-1], terms.replicas) if durable else None)
    replies = replies[1:count:2] if asking else replies[:count]
    replies += [error] * (len(calls) - len(replies))
    if durable and why:
        if not error:
            await _undo(connection, calls, replies, terms.call_timeout_s)
        for number, call in enumerate(calls):
            if call.durable and not isinstance(replies[number], RedisRefusal):
                replies[number] = why
    return replies


async def _undo(connection: Connection, calls: list[StoreCall], replies: list[Any], within_s: float) -> None:
    """Undoes calls that too few replicas have. Only at this server: a new primary that does not know of them
    may have carried out the same for others, and that must stay."""
    undoing = []
    for call, reply in zip(calls, replies, strict=True):
        if call.undo and not isinstance(reply, RedisRefusal) and (command := call.undo(reply)):
            undoing.append(packed(command))
    if undoing:
        with contextlib.suppress(ConnectionLost, TimeoutError):
            await connection.exchange(undoing, [], within_s)


def _unconfirmed(reply: Any, wanted: int) -> StoreError | None:
    """Why writes do not count, by the reply to WAIT; None: they count."""
    if not isinstance(reply, int):
        return StoreError("Redis: whether replicas have it could not be asked")
    if reply < wanted:
        return TooFewReplicas(f"Redis: only {reply} of {wanted} replicas have it")
    return None


def has_value(future: asyncio.Future[Any]) -> bool:
    """Whether it is done with a value. If it has an exception instead, asyncio does not report that."""
    return future.done() and not future.cancelled() and future.exception() is None


def ignore_error(future: asyncio.Future[Any]) -> None:
    """A done callback: asyncio must not report the exception of a future that nobody waits for any more."""
    if not future.cancelled():
        future.exception()
