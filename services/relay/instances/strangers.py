"""Calls with a key that opens nothing, remembered for a while: who looks for a silent mod hears of them."""

import time

from services.relay.store import Store

KEPT_S = 600
NOTED_EVERY_S = 5.0
"""A stranger who tries keys from many addresses costs no more than that."""

_KEY = "relay:stranger"


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
            self._store.tell("SET", _KEY, address, "EX", KEPT_S)

    async def last(self) -> str:
        """The address of the last one within KEPT_S, "" for none. Raises StoreError."""
        found: bytes | None = await self._store.send("GET", _KEY)
        return found.decode() if found else ""
