"""The hints that wake held polls: one subscription for all instances of this process."""

import asyncio
from collections.abc import Mapping

from services.modapi.polls import Polls
from services.relay.errors import StoreError
from services.relay.keys import WAKE_MODAPI
from services.relay.store import Store

SUBSCRIBE_AGAIN_S = 1.0


async def listen(store: Store, polls: Mapping[str, Polls]) -> None:
    """Wakes the poll of an instance that has a new command. Never returns; lets all polls go at its end."""
    try:
        while True:
            try:
                async for _, slugs in store.hints(WAKE_MODAPI):
                    if not slugs:  # subscribed: from here on none is missed
                        for one in polls.values():
                            one.open()
                    for slug in slugs:
                        if asked := polls.get(slug):
                            asked.wake()
            except StoreError:
                _close(polls)
                await asyncio.sleep(SUBSCRIBE_AGAIN_S)
    finally:
        _close(polls)


def _close(polls: Mapping[str, Polls]) -> None:
    for one in polls.values():
        one.close()
