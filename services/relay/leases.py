"""One owner: the lease of one instance, and the rules by which its holder trusts it.

The lease is a random token in Redis, compared by equality in every script that acknowledges or trims.
Takaro's side cannot be fenced, there only time protects: the holder stops writing to the socket well before
Redis can give the lease to another (research/reliability.md 3).
"""

import asyncio
import secrets
import time
from dataclasses import dataclass

from services.relay.keys import keys_of
from services.relay.store import Script, Store

TTL_MS = 5_000
RENEW_EVERY_S = 1.0
TRUSTED_FOR_S = 3.5

_RENEW = Script("renew")
_RELEASE = Script("release")


def boottime_s() -> float:
    """Seconds on a clock that also runs while the machine sleeps, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True, slots=True)
class Standing:
    """How the lease stands: `asked_s` is when the last successful renewal was begun."""

    held: bool = False
    asked_s: float = 0.0

    def trusted(self, now_s: float) -> bool:
        """May the holder still write to Takaro? Not when the lease could run out before the bytes are out."""
        return self.held and now_s - self.asked_s < TRUSTED_FOR_S


class Lease:
    """Our claim on one instance."""

    def __init__(self, store: Store, slug: str) -> None:
        self._store = store
        self._key = keys_of(slug).lease
        self.token = secrets.token_hex(12)
        self._standing = Standing()
        self._renewed = asyncio.Event()

    @property
    def held(self) -> bool:
        return self._standing.held

    @property
    def trusted(self) -> bool:
        return self._standing.trusted(boottime_s())

    async def renew(self) -> bool:
        """Takes the lease if it is free, or prolongs it. Raises StoreError: then it may still be ours."""
        asked_s = boottime_s()
        held = bool(await self._store.run(_RENEW, (self._key,), self.token, TTL_MS))
        self._standing = Standing(held, asked_s)
        if held:
            self._renewed.set()
            self._renewed = asyncio.Event()
        return held

    async def renewal(self) -> None:
        """Waits for the next successful renewal."""
        await self._renewed.wait()

    async def release(self) -> None:
        """Gives the lease back, so that another need not wait for it to run out. Raises StoreError."""
        self._standing = Standing()
        await self._store.run(_RELEASE, (self._key,), self.token)
