"""The hints that wake held polls: one subscription for all instances of this process."""

from services.modapi.served_instances import ServedInstances
from services.relay.protocol.keys import WAKE_MODAPI
from services.relay.store.client import Store, steadily


async def listen(store: Store, served_instances: ServedInstances) -> None:
    """Wakes the poll of an instance that has a new command. Never returns. At its end no poll is held."""
    try:
        async for _, slugs in steadily(lambda: store.hints(WAKE_MODAPI), served_instances.close):
            if not slugs:  # subscribed: from here on none is missed
                served_instances.open()
            for slug in slugs:
                served_instances.wake(slug)
    finally:
        served_instances.close()
