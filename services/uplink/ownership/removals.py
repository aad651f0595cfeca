"""Deletes the data of removed instances from Redis, when it is due."""

import asyncio
import contextlib

from services.relay.instances.registry import Registry
from services.relay.protocol.errors import StoreError
from services.relay.service.clocks import until_shared_s
from services.relay.service.logs import InstanceLogger

CHECK_EVERY_S = 10.0


async def forget_removed(registry: Registry) -> None:
    """Never returns. Several uplinks may do this at once."""
    while True:
        await asyncio.sleep(until_shared_s(CHECK_EVERY_S))
        with contextlib.suppress(StoreError):  # next time
            for slug in await registry.forget_removed():
                InstanceLogger(__name__, slug).info("removed: its data is deleted")
