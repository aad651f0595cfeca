"""Calls to a primary, and what becomes of their replies."""

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

from services.relay.protocol.errors import StoreError
from services.relay.store.connection import Argument
from services.relay.store.refusals import RedisRefusal, Then, store_error, verdict_on

STOOD_STILL_S = 0.1
HAND_ON_WITHIN_S = 0.25
"""Time after a standstill in which a reply that came during it reaches its caller."""


class Script:
    """A Lua script of scripts/, which Redis knows by its digest."""

    def __init__(self, name: str, *, drains: bool = False) -> None:
        self.name = name
        self.drains = drains
        """It helps to empty Redis: it is allowed while new data is refused."""

    @cached_property
    def text(self) -> str:
        return (files("services.relay.store") / "scripts" / f"{self.name}.lua").read_text()

    @cached_property
    def digest(self) -> str:
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class TooFewReplicas(StoreError):
    """The call was carried out, but too few replicas have it: it may be lost with this server."""


@dataclass(slots=True, eq=False)
class StoreCall:
    """A command on its way. `slot` is 0 without a cluster; `until` is on time.monotonic().

    A call whose reply was cancelled has no caller any more and is not sent. If it had been sent already, its
    value goes to `orphaned`.
    """

    command: tuple[Argument, ...]
    reply: asyncio.Future[Any]
    slot: int = 0
    script: Script | None = None
    durable: bool = False
    until: float = 0.0
    orphaned: Callable[[Any], object] | None = None

    @property
    def abandoned(self) -> bool:
        """Whether its caller has gone, so that nobody waits for the reply."""
        return self.reply.cancelled()

    def fail(self, error: StoreError) -> None:
        if not self.reply.done():  # otherwise the caller was cancelled
            self.reply.set_exception(error)


def ignore_error(future: asyncio.Future[Any]) -> None:
    """A done callback: asyncio must not report the exception of a future that nobody waits for any more."""
    if not future.cancelled():
        future.exception()


def shielded(inner: asyncio.Future[Any]) -> asyncio.Future[Any]:
    """A future that ends as `inner` does. If it is cancelled, `inner` goes on, and its exception is ignored.

    asyncio.shield reports such an exception to the event loop, since Python 3.14.
    """
    outer = inner.get_loop().create_future()

    def end(_: asyncio.Future[Any]) -> None:
        if inner.cancelled():
            outer.cancel()
        elif outer.done():
            ignore_error(inner)
        elif error := inner.exception():
            outer.set_exception(error)
        else:
            outer.set_result(inner.result())

    inner.add_done_callback(end)
    return outer


def abandon(future: asyncio.Future[Any]) -> None:
    """Cancels a future that nobody waits for any more, or ignores its exception."""
    if not future.cancel():
        ignore_error(future)


def abandon_late(reply: asyncio.Future[Any], due_s: float) -> None:
    """The timer of a time limit, which was due at `due_s` on time.monotonic(): abandons the reply.

    A timer that is late shows that this process stood still. The reply may have come meanwhile without having
    reached its caller, so it gets a moment more. Otherwise a call would fail that Redis has answered.
    """
    if time.monotonic() - due_s > STOOD_STILL_S:
        asyncio.get_running_loop().call_later(HAND_ON_WITHIN_S, abandon, reply)
    else:
        abandon(reply)


def settle(call: StoreCall, reply: Any) -> bool:
    """Gives the reply to the caller. Returns True, and does not, if the call must be sent again."""
    if call.reply.done():
        if call.abandoned and call.orphaned and not isinstance(reply, RedisRefusal | StoreError):
            call.orphaned(reply)
        return False
    if type(reply) is RedisRefusal:
        if verdict_on(reply).then is not Then.GIVE_UP:
            return True
        call.reply.set_exception(store_error(reply))
    elif isinstance(reply, StoreError):
        call.reply.set_exception(reply)
    else:
        call.reply.set_result(reply)
    return False


def unconfirmed(reply: Any, wanted: int) -> StoreError | None:
    """Why writes do not count, by the reply to WAIT; None: they count."""
    if not isinstance(reply, int):
        return StoreError("Redis: whether replicas have it could not be asked")
    if reply < wanted:
        return TooFewReplicas(f"Redis: only {reply} of {wanted} replicas have it")
    return None
