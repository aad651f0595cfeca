"""Deletes the data of removed instances from Redis, when it is due."""

import asyncio
import logging

from services.relay.instances.registry import Registry
from services.relay.protocol.errors import InstanceConflict, StoreError
from services.relay.service.clocks import until_shared_s
from services.relay.service.logs import InstanceLogger

CHECK_EVERY_S = 10.0

logger = logging.getLogger(__name__)


async def forget_removed(registry: Registry) -> None:
    """Never returns. Several uplinks may do this at once."""
    while True:
        await asyncio.sleep(until_shared_s(CHECK_EVERY_S))
        try:
            for slug in await registry.forget_removed():
                InstanceLogger(__name__, slug).info("removed: its data is deleted")
        except StoreError:
            pass  # next time
        except InstanceConflict as error:
            logger.error("%s", error)
