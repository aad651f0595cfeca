"""The hints that wake held polls: one subscription for all instances of this process."""

from services.modapi.admitted import Admitted
from services.relay.keys import WAKE_MODAPI
from services.relay.store import Store, steadily


async def listen(store: Store, admitted: Admitted) -> None:
    """Wakes the poll of an instance that has a new command. Never returns; lets all polls go at its end."""
    try:
        async for _, slugs in steadily(lambda: store.hints(WAKE_MODAPI), admitted.close):
            if not slugs:  # subscribed: from here on none is missed
                admitted.open()
            for slug in slugs:
                admitted.wake(slug)
    finally:
        admitted.close()
