"""The dead letters of one instance: events that could not become valid, or that Takaro refused."""

from typing import NamedTuple

from services.relay.protocol.keys import keys_of
from services.relay.protocol.records import DEAD_EVENT_BYTES
from services.relay.store.client import Store, pairs
from services.relay.store.event_stream import MAX_DEAD_EVENTS, REFUSED_BY_TAKARO


class DeadLetter(NamedTuple):
    """One dead letter. `raw` is what the mod sent, shortened; `detail` may quote it. Both may be hostile."""

    id: str  # of the stream entry: "<ms>-<n>", with ms of Redis' clock
    reason: str
    detail: str
    raw: bytes

    @property
    def at_ms(self) -> int:
        return int(self.id.partition("-")[0])

    @property
    def no_retry(self) -> str | None:
        """Why it cannot be retried; None: it can."""
        if self.reason == REFUSED_BY_TAKARO:
            return "Takaro does not say which of these events it refused, and has the others"
        if not self.raw:
            return "nothing of it was kept"
        if len(self.raw) >= DEAD_EVENT_BYTES:
            return f"only its first {DEAD_EVENT_BYTES} bytes were kept"
        return None


class DeadLetters:
    """The dead letters of the instance `slug`. Every call raises StoreError."""

    def __init__(self, store: Store, slug: str) -> None:
        self._store = store
        self._key = keys_of(slug).dead

    async def newest(self, count: int, before: str = "") -> list[DeadLetter]:
        """Up to `count` dead letters, the newest first; only those older than the id `before`, if given."""
        end = f"({before}" if before else "+"
        found = await self._store.send("XREVRANGE", self._key, end, "-", "COUNT", count)
        return [_letter(*entry) for entry in found]

    async def all_ids(self) -> list[str]:
        """The ids of all that there are now, in the order in which they came."""
        # Redis trims whole nodes of the stream, so it may have some more than MAX_DEAD_EVENTS.
        return [letter.id for letter in reversed(await self.newest(2 * MAX_DEAD_EVENTS))]

    async def after(self, id: str, count: int) -> list[DeadLetter]:
        """Up to `count` dead letters newer than this id ("": from the first one on), the oldest first."""
        start = f"({id}" if id else "-"
        found = await self._store.send("XRANGE", self._key, start, "+", "COUNT", count)
        return [_letter(*entry) for entry in found]

    async def get(self, id: str) -> DeadLetter | None:
        found = await self._store.send("XRANGE", self._key, id, id)
        return _letter(*found[0]) if found else None

    async def drop(self, *ids: str) -> int:
        """Deletes dead letters. Returns the number of those that were still there."""
        dropped: int = await self._store.send("XDEL", self._key, *ids) if ids else 0
        return dropped


def _letter(id: bytes, fields: list[bytes]) -> DeadLetter:
    of = dict(pairs(fields))
    reason, detail = (of.get(name, b"").decode(errors="replace") for name in (b"reason", b"detail"))
    return DeadLetter(id.decode(), reason, detail, of.get(b"raw", b""))
