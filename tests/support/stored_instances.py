"""The instances that are stored in Redis, which the tests of one process share."""

from services.relay.protocol.keys import (
    INSTANCES,
    INSTANCES_IDENTITIES,
    INSTANCES_REMOVALS,
    INSTANCES_VERSION,
)
from services.relay.store.client import Store


async def forget_instances(store: Store) -> None:
    """Deletes the records that earlier tests have left."""
    for key in (INSTANCES, INSTANCES_IDENTITIES, INSTANCES_VERSION, INSTANCES_REMOVALS):
        await store.send("DEL", key)
