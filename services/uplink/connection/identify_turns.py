"""Spreads the identifies of the fleet over time: each costs Takaro about five API calls (protocol.md T1)."""

import asyncio

from services.relay.protocol.errors import StoreError
from services.relay.protocol.keys import IDENTIFIES
from services.relay.store.client import Script, Store

PER_S = 50
BURST = 100
"""Number of identifies at once. The instances of a killed uplink, some hundred, link again within seconds."""

_TURN = Script("identify_turn")


class IdentifyTurns:
    """Gives turns to all uplinks of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(self) -> None:
        """Waits for a turn. Does not wait while Redis is away: a lost turn does little harm."""
        try:
            wait_ms = await self._store.run(_TURN, (IDENTIFIES,), 1000 // PER_S, BURST)
        except StoreError:
            return
        await asyncio.sleep(wait_ms / 1000)
