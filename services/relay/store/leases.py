"""The lease that gives an instance one owner, and the rules by which its holder trusts it.

The lease is a record in Redis with a random token. Every script that acknowledges events compares it.
Takaro compares nothing, so there only time protects: the holder stops writing to the socket well before
Redis can give the lease to another uplink (protocol.md R6).
"""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from services.relay.protocol.keys import WAKE_LEASES, keys_of
from services.relay.service.clocks import boot_id, boottime_s
from services.relay.store.client import Script, Store
from services.relay.store.clock import ClockStep, SteppedClock
from services.relay.store.lease_renewal import LeaseRenewal

TTL_MS = 5_000
RENEW_EVERY_S = 1.0
TRUSTED_FOR_S = 3.5

CLOCK_STORED_EVERY_S = 10.0  # the owner stores its last reading of Redis' clock: the next one goes on from it

ANNOUNCED_FOR_S = 1.0
"""An identify is sent within this time from the call that announces it: much sooner than the owner assumes
that it has reached Takaro."""

_RENEW = Script("renew", drains=True)
_IDENTIFY = Script("identify", drains=True)
_RELEASE = Script("release")


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """The lease ends `ttl_ms` after its last renewal. Its holder trusts it for `trusted_for_s` only. An
    identify is sent within `announced_for_s` from the call that announces it."""

    ttl_ms: int = TTL_MS
    trusted_for_s: float = TRUSTED_FOR_S
    announced_for_s: float = ANNOUNCED_FOR_S


LEASE_TIMES = LeaseTimes()


class Lease:
    """The claim of `uplink`, a name for people, on one instance. Each renewal also reads Redis' clock.
    `stepped` is called with each step of that clock. 13 fields: who claims what, and the last renewal."""

    def __init__(
        self,
        store: Store,
        slug: str,
        uplink: str,
        stepped: Callable[[ClockStep], object] = lambda step: None,
        times: LeaseTimes = LEASE_TIMES,
    ) -> None:
        self.clock = SteppedClock(boot_id())  # Redis' clock, known from the first renewal on
        self.empty_s = float("-inf")  # when the stream of events was last seen empty, on boottime_s()
        self._stepped = stepped
        self._store = store
        self.slug = slug
        self._uplink = uplink
        self._times = times
        keys = self._keys = keys_of(slug)
        self._read_keys = keys.lease, keys.events, keys.results, keys.contact, keys.watched, keys.link
        self.token = secrets.token_hex(12)
        self.held = False
        # Until when, on boottime_s(), the holder may write to Takaro: later, the lease could end before the
        # bytes are sent.
        self.trusted_until_s = float("-inf")
        self._renewed = asyncio.Event()

    async def renew(
        self, *, take: bool = True, dead: str = "", want: str = "", ended_identifies: str = ""
    ) -> LeaseRenewal:
        """Renews the lease if it is ours, and takes it if it is free and `take` is set.

        A record that is still `dead` counts as free. `want` is what to write if we stand by for it. Open
        identifies of other uplinks that are still the `ended_identifies` count as over. Raises StoreError:
        then the lease may still be ours.
        """
        if not self.clock.loaded:
            self.clock.load(await self._store.send("HGET", self._keys.link, "clock") or b"")
        asked_s = boottime_s()
        mine, newest, open_identifies, record, wanted, watched, *facts = await self._store.run(
            _RENEW,
            self._read_keys,
            self.token,
            self._uplink,
            self._times.ttl_ms,
            "1" if take else "0",
            dead,
            want,
            ended_identifies,
            durable=True,  # else a primary that was cut off gives it away, and so does the one that follows
        )
        self.held = bool(mine)
        self.trusted_until_s = asked_s + self._times.trusted_for_s if mine else float("-inf")
        if mine:
            self._renewed.set()
            self._renewed.clear()  # waiting tasks have been woken
        texts = [text.decode() for text in (open_identifies, record, wanted, watched)]
        renewal = LeaseRenewal(bool(mine), bool(newest), *texts, *facts)
        self._observe_clock(renewal.now_ms, asked_s)
        if not renewal.batches:
            self.empty_s = max(self.empty_s, asked_s)
        return renewal

    async def read_clock(self) -> None:
        """Reads Redis' clock now. Raises StoreError."""
        asked_s = boottime_s()
        self._observe_clock(await self._store.read_clock(self._keys.lease) // 1000, asked_s)

    def _observe_clock(self, store_ms: int, asked_s: float) -> None:
        now_s = boottime_s()
        step = self.clock.observe(store_ms, asked_s, now_s)
        if due := self.clock.due_dump(now_s, CLOCK_STORED_EVERY_S if self.held else None):
            self._store.write_unawaited("HSET", self._keys.link, "clock", due)
        if step:
            self._stepped(step)

    async def announce_identify(self) -> bool:
        """Writes to Redis that an identify of ours follows. True: send it at once, before any other `await`.

        False: the lease was ours and is not any more, or Redis took longer than `announced_for_s`. Sent then,
        or after a StoreError, it could make Takaro ask a socket of which no uplink knows.
        """
        asked_s = boottime_s()
        announced = await self._write_identify("begins", only_owner=self.held)
        return announced and boottime_s() - asked_s < self._times.announced_for_s

    async def note_identified(self) -> None:
        """Writes to Redis that Takaro has accepted the announced identify. Raises StoreError."""
        await self._write_identify("answered")

    async def _write_identify(self, what: str, *, only_owner: bool = False) -> bool:
        keys, only = (self._keys.lease, self._keys.link), "1" if only_owner else "0"
        return bool(await self._store.run(_IDENTIFY, keys, self.token, what, only, durable=True))

    async def identified_elsewhere(self) -> bool:
        """Whether another uplink has identified last, so that Takaro asks its socket. Raises StoreError."""
        newest: bytes = await self._store.send("HGET", self._keys.link, "newest") or b""
        return bool(newest) and not newest.startswith(b"?") and newest.decode() != self.token

    async def until_renewed(self) -> None:
        """Waits for the next successful renewal."""
        await self._renewed.wait()

    async def until_held(self) -> None:
        """Waits until the lease is ours."""
        while not self.held:
            await self.until_renewed()

    async def release(self) -> None:
        """Gives the lease back, so that another uplink can take it at once. Raises StoreError."""
        self.held, self.trusted_until_s = False, float("-inf")
        await self._store.run(_RELEASE, (self._keys.lease,), self.token, WAKE_LEASES, self.slug)
