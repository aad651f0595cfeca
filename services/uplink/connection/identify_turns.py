"""Spreads the identifies of the fleet over time: each costs Takaro about five API calls (protocol.md T1)."""

import asyncio

from services.relay.protocol.errors import StoreError
from services.relay.protocol.keys import IDENTIFIES
from services.relay.store.client import Script, Store

PER_S = 50
BURST = 100  # identifies at once: the instances of a killed uplink, some hundred, link again within seconds

_TURN = Script("identify_turn")


async def identify_turn(store: Store) -> None:
    """Waits for a turn among all uplinks, unless Redis is away: a lost turn does little harm."""
    try:
        wait_ms = await store.run(_TURN, (IDENTIFIES,), 1000 // PER_S, BURST)
    except StoreError:
        return
    await asyncio.sleep(wait_ms / 1000)
