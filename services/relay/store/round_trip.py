"""One round trip to a server: calls and hints go out together, and each call gets its reply."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from services.relay.protocol.errors import StoreError
from services.relay.store.calls import StoreCall
from services.relay.store.connection import Connection, packed
from services.relay.store.refusals import ConnectionLost, RedisRefusal, store_error

CALL_TIMEOUT_S = 2.0
"""Limit of one round trip, and of sending a refused call again: a mod waits for 3 s (protocol.md M6)."""

WAIT_MS = 500  # time limit for the replicas to confirm. The next pipeline waits meanwhile.

_ASKING = packed(("ASKING",))


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
    """The reply to each call: a value, a RedisRefusal, or a StoreError.

    `asking`: the server takes calls for a slot that is still on its way to it.
    """
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
        for number, call in enumerate(calls):
            if call.durable and not isinstance(replies[number], RedisRefusal):
                replies[number] = why
    return replies


def _unconfirmed(reply: Any, wanted: int) -> StoreError | None:
    """Why writes do not count, by the reply to WAIT; None: they count."""
    if not isinstance(reply, int):
        return StoreError("Redis: whether replicas have it could not be asked")
    if reply < wanted:
        return TooFewReplicas(f"Redis: only {reply} of {wanted} replicas have it")
    return None
