"""Calls with a key that opens nothing, remembered for a while: who looks for a silent mod hears of them."""

import time
from typing import NamedTuple

from services.relay.store import Store

KEPT_S = 600
NOTED_EVERY_S = 5.0
"""A stranger who tries keys from many addresses costs no more than that."""

_KEY = "relay:stranger"


class Stranger(NamedTuple):
    """Whoever called last with a wrong key. `at_ms` is of the wall clock of the modapi that heard it."""

    at_ms: int
    address: str


class Strangers:
    """Where the last call with a wrong key came from."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._noted_s = -NOTED_EVERY_S

    def note(self, address: str) -> None:
        """One was refused. No harm is done if that is lost."""
        now_s = time.monotonic()
        if now_s - self._noted_s >= NOTED_EVERY_S:
            self._noted_s = now_s
            self._store.tell("SET", _KEY, f"{round(time.time() * 1000)} {address}", "EX", KEPT_S)

    async def last(self) -> Stranger | None:
        """The last one within KEPT_S. Raises StoreError."""
        found: bytes | None = await self._store.send("GET", _KEY)
        at_ms, _, address = found.decode().partition(" ") if found else ("", "", "")
        return Stranger(int(at_ms), address) if at_ms.isdigit() else None
