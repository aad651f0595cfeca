"""One look over many instances: the safety net under the wake-up hints."""

from collections.abc import Sequence
from typing import NamedTuple

from services.relay.keys import keys_of
from services.relay.store import Script, Store

_SWEEP = Script("sweep")


class Found(NamedTuple):
    """What waits for uplink in one instance, and when its mod was last heard of (None: never)."""

    batches: int
    results: int
    contact_ms: int | None


async def sweep(store: Store, slugs: Sequence[str]) -> tuple[int, list[Found]]:
    """Redis' clock (ms) and what was found, in the order of `slugs`. Raises StoreError."""
    keys = [
        key for slug in slugs for key in (keys_of(slug).events, keys_of(slug).results, keys_of(slug).contact)
    ]
    now_ms, *facts = await store.run(_SWEEP, keys)
    return now_ms, [
        Found(batches, results, contact_ms or None)
        for batches, results, contact_ms in zip(facts[::3], facts[1::3], facts[2::3], strict=True)
    ]
