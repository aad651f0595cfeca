"""The commands of an instance that failed lately: the mod refused them, or there is no result."""

from services.relay.protocol.keys import keys_of
from services.relay.store.client import Store

KEPT_MS = 24 * 3600 * 1000
MOST_KEPT = 1_000
_EXPIRE_S = 2 * KEPT_MS // 1000


def note_failed(store: Store, slug: str, operation_id: str, now_ms: int) -> None:
    """Stores that a write failed now, by Redis' clock. It may be lost. facts.lua counts those of KEPT_MS."""
    key = keys_of(slug).failed
    store.send_unawaited("ZADD", key, now_ms, operation_id)
    store.send_unawaited("ZREMRANGEBYSCORE", key, 0, now_ms - KEPT_MS)
    store.send_unawaited("ZREMRANGEBYRANK", key, 0, -MOST_KEPT - 1)
    store.send_unawaited("EXPIRE", key, _EXPIRE_S)
