"""Calls to a primary, and what becomes of their replies."""

import asyncio
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

from services.relay.protocol.errors import StoreError
from services.relay.store.connection import Argument
from services.relay.store.refusals import RedisRefusal, Retry, store_error, verdict_on


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
    """A command on its way. `slot` is 0 without a cluster; `until` is on time.monotonic().

    If its reply is done before it is sent, its caller has gone or is out of time: it is not sent any more,
    unless it is `kept`. If it had been sent already, the value goes to `orphaned`.
    """

    command: tuple[Argument, ...]
    reply: asyncio.Future[Any]
    slot: int = 0
    script: Script | None = None
    durable: bool = False
    until: float = math.inf
    orphaned: Callable[[Any], object] | None = None
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
        self.kept = False
        if isinstance(reply, StoreError):
            self.fail(reply)
        elif not self.reply.done():
            self.reply.set_result(reply)
        elif self.orphaned:
            self.orphaned(reply)
        return False


def has_value(future: asyncio.Future[Any]) -> bool:
    """Whether it is done with a value. If it has an exception instead, asyncio does not report that."""
    return future.done() and not future.cancelled() and future.exception() is None


def ignore_error(future: asyncio.Future[Any]) -> None:
    """A done callback: asyncio must not report the exception of a future that nobody waits for any more."""
    if not future.cancelled():
        future.exception()
