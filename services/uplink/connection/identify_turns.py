"""Turns to identify, over the whole fleet: each costs Takaro about five API calls (protocol.md T1)."""

import asyncio

from services.relay.protocol.errors import StoreError
from services.relay.protocol.keys import IDENTIFIES
from services.relay.store.client import Script, Store

PER_S = 50
BURST = 100
"""A killed uplink's share, some hundred instances, is to be linked again within seconds."""

_TURN = Script("identify_turn")


class IdentifyTurns:
    """Who identifies next, among all uplinks of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(self) -> None:
        """Waits for a turn. Redis being away is no reason to wait: a lost turn does little harm."""
        try:
            wait_ms = await self._store.run(_TURN, (IDENTIFIES,), 1000 // PER_S, BURST)
        except StoreError:
            return
        await asyncio.sleep(wait_ms / 1000)
