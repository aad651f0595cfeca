"""Remembers calls with a wrong key for ten minutes: they may come from the mod of a silent server."""

import time
from typing import NamedTuple

from services.relay.protocol.keys import UNKNOWN_KEYS
from services.relay.store.client import Store, pairs

KEPT_S = 600  # how long a call is remembered

KEPT = 100  # number of calls that are remembered

NOTED_EVERY_S = 5.0  # shortest time between two notes of one address

NOTED_APART_S = 0.05  # between any two notes: a caller with many addresses costs Redis little


class WrongKeyCall(NamedTuple):
    """The last call with a wrong key from an address."""

    at_ms: int  # on the wall clock of the modapi that received it
    address: str
    slug: str = ""  # the server that it was meant for, if the key or token shows that


class WrongKeyCalls:
    """The last calls with a wrong key, in Redis."""

    def __init__(self, store: Store, noted_apart_s: float = NOTED_APART_S) -> None:
        self._store = store
        self._noted_apart_s = noted_apart_s
        self._noted_s: dict[str, float] = {}
        self._last_s = -noted_apart_s

    def note(self, address: str, slug: str = "") -> None:
        """Stores a refused call. It may be lost: it only helps to explain a silent mod."""
        now_s, member = time.monotonic(), f"{slug} {address}"
        if now_s - self._last_s < self._noted_apart_s:
            return
        if now_s - self._noted_s.get(member, -NOTED_EVERY_S) < NOTED_EVERY_S:
            return
        if len(self._noted_s) >= KEPT:
            self._noted_s.clear()
        self._noted_s[member] = self._last_s = now_s
        self._store.write_unawaited("ZADD", UNKNOWN_KEYS, round(time.time() * 1000), member)
        self._store.send_unawaited("ZREMRANGEBYRANK", UNKNOWN_KEYS, 0, -KEPT - 1)
        self._store.send_unawaited("EXPIRE", UNKNOWN_KEYS, KEPT_S)

    async def all(self) -> list[WrongKeyCall]:
        """The calls of the last KEPT_S, the newest first. Raises StoreError."""
        since_ms = round((time.time() - KEPT_S) * 1000)
        found = await self._store.send("ZREVRANGEBYSCORE", UNKNOWN_KEYS, "+inf", since_ms, "WITHSCORES")
        wrong_calls = []
        for member, at_ms in pairs(found):
            slug, _, address = member.decode().partition(" ")
            wrong_calls.append(WrongKeyCall(int(float(at_ms)), address, slug))
        return wrong_calls
