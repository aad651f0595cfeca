"""The hints that wake held polls: one subscription for all instances of this process."""

import asyncio

from services.modapi.admitted import Admitted
from services.relay.errors import StoreError
from services.relay.keys import WAKE_MODAPI
from services.relay.store import Store

SUBSCRIBE_AGAIN_S = 1.0


async def listen(store: Store, admitted: Admitted) -> None:
    """Wakes the poll of an instance that has a new command. Never returns; lets all polls go at its end."""
    try:
        while True:
            try:
                async for _, slugs in store.hints(WAKE_MODAPI):
                    if not slugs:  # subscribed: from here on none is missed
                        admitted.open()
                    for slug in slugs:
                        admitted.wake(slug)
            except StoreError:
                admitted.close()
                await asyncio.sleep(SUBSCRIBE_AGAIN_S)
    finally:
        admitted.close()
