"""What is asked of a primary, and what becomes of its replies."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

from services.relay.protocol.errors import StoreError
from services.relay.store.connection import Argument
from services.relay.store.refusals import RedisRefusal, Then, store_error, verdict_on


class Script:
    """A Lua script of scripts/, which Redis knows by its digest."""

    def __init__(self, name: str, *, drains: bool = False) -> None:
        self.name = name
        self.drains = drains
        """It helps to get out what is in Redis: it goes on while what comes in is refused."""

    @cached_property
    def text(self) -> str:
        return (files("services.relay.store") / "scripts" / f"{self.name}.lua").read_text()

    @cached_property
    def digest(self) -> str:
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class TooFewReplicas(StoreError):
    """It was carried out, and may be lost with this server."""


@dataclass(slots=True, eq=False)
class StoreCall:
    """A command on its way. `slot` is 0 where there are no slots; `until` is on time.monotonic().

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
        """Nobody waits for the reply."""
        return self.reply.cancelled()

    def fail(self, error: StoreError) -> None:
        if not self.reply.done():  # whoever asked was cancelled
            self.reply.set_exception(error)


def ignore_error(future: asyncio.Future[Any]) -> None:
    """A done callback: its exception is no fault, also when nobody waits for it any more."""
    if not future.cancelled():
        future.exception()


def abandon(future: asyncio.Future[Any]) -> None:
    """Ends what nobody waits for any more: what it may have to say is nobody's, and no fault."""
    if not future.cancel():
        ignore_error(future)


def settle(call: StoreCall, reply: Any) -> bool:
    """Answers whoever asked, unless the call is to be sent again: then True."""
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
    """Why writes do not count, by what WAIT replied."""
    if not isinstance(reply, int):
        return StoreError("Redis: whether replicas have it could not be asked")
    if reply < wanted:
        return TooFewReplicas(f"Redis: only {reply} of {wanted} replicas have it")
    return None
