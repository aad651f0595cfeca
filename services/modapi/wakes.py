"""The hints that wake held polls: one subscription for all instances of this process."""

import asyncio
from collections.abc import Mapping

from redis.exceptions import RedisError

from services.modapi.polls import Polls
from services.relay.keys import WAKE_MODAPI
from services.relay.store import Store

LOOK_EVERY_S = 1.0
SUBSCRIBE_AGAIN_S = 1.0


async def listen(store: Store, polls: Mapping[str, Polls]) -> None:
    """Wakes the poll of an instance that has a new command. Never returns; lets all polls go at its end."""
    try:
        while True:
            try:
                await _hear(store, polls)
            except (RedisError, OSError):
                _close(polls)
                await asyncio.sleep(SUBSCRIBE_AGAIN_S)
    finally:
        _close(polls)


async def _hear(store: Store, polls: Mapping[str, Polls]) -> None:
    async with store.redis.pubsub() as hints:
        await hints.subscribe(WAKE_MODAPI)
        while True:
            hint = await hints.get_message(timeout=LOOK_EVERY_S)
            if hint is None:
                continue
            if hint["type"] == "subscribe":  # also after the library has connected anew by itself
                for one in polls.values():
                    one.open()
            elif asked := polls.get(hint["data"].decode()):
                asked.wake()


def _close(polls: Mapping[str, Polls]) -> None:
    for one in polls.values():
        one.close()
