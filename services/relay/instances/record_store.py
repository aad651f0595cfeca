"""The records of instances in Redis: reads all, and changes one if nobody else has changed it meanwhile."""

import logging
import secrets
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from services.relay.instances.records import Record, dump, load
from services.relay.protocol import keys
from services.relay.protocol.errors import InstanceConflict, StoreError
from services.relay.service.clocks import boot_id, boottime_s
from services.relay.store.client import Script, Store, pairs
from services.relay.store.clock import SteppedClock

CLOCK_STORED_EVERY_S = 30.0  # a service stores its last reading of Redis' clock: the next one goes on from it

TRIES = 20  # number of attempts at a change while others change the same record

WITHIN_S = 3.0  # time limit of one call of Redis

_READ = Script("read_instances")
_CHANGE = Script("change_instance")
_PUT_BACK = Script("put_back")

logger = logging.getLogger(__name__)


class RecordTexts(NamedTuple):
    """The stored records at one moment. `texts` is None if the caller knows this version already."""

    version: str
    now_ms: int
    texts: dict[str, bytes] | None

    def records(self) -> dict[str, Record] | None:
        """The records that can be read. The others are logged and left out."""
        if self.texts is None:
            return None
        read = {}
        for slug, text in self.texts.items():
            try:
                read[slug] = load(text)
            except ValueError:
                logger.error("[%s] the stored instance cannot be read and is left out", slug)
        return read

    def text(self, slug: str) -> bytes:
        """The text of one record, by which the script knows it; b"": there is none."""
        return (self.texts or {}).get(slug, b"")

    def stored(self, slug: str) -> Record | None:
        """One record. Raises InstanceConflict if it cannot be read."""
        text = self.text(slug)
        try:
            return load(text) if text else None
        except ValueError:
            raise InstanceConflict(
                f"what Redis has of {slug} cannot be read: a newer relay wrote it"
            ) from None


class RecordStore:
    """The records in Redis, and the age of times on Redis' clock, which each read returns too. Every call
    raises StoreError."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.within_s = WITHIN_S
        self.clock = SteppedClock(boot_id())

    def age_s(self, at_ms: float, behind: bool | None = None) -> float:
        """At least how long ago Redis' clock showed `at_ms` (see `age_of`); 0 before the first read."""
        return self.clock.age(at_ms, boottime_s(), behind=behind).least_s

    async def read(self, version: str | None = None) -> RecordTexts:
        """All records, unless they still have the `version` that the caller knows."""
        if not self.clock.loaded:
            self.clock.load(await self._store.send("GET", keys.INSTANCES_CLOCK) or b"", boottime_s())
        begun_s, asked_s = time.monotonic(), boottime_s()
        known = "?" if version is None else version
        read = (keys.INSTANCES, keys.INSTANCES_VERSION)
        found, now_ms, *flat = await self._store.run_until(self.within_s, _READ, read, known)
        self._store.clock_of(keys.INSTANCES).observe(now_ms * 1000, begun_s, time.monotonic(), within_us=1000)
        now_s = boottime_s()
        self.clock.observe(now_ms, asked_s, now_s)
        if due := self.clock.due_dump(now_s, CLOCK_STORED_EVERY_S):
            self._store.write_unawaited("SET", keys.INSTANCES_CLOCK, due)
        same = found.decode() == known
        return RecordTexts(found.decode(), now_ms, None if same else {k.decode(): v for k, v in pairs(flat)})

    async def change(
        self, slug: str, make: Callable[[Record | None, int], Record], deleted_after_s: float | None = None
    ) -> Record:
        """Replaces a record by `make(record, Redis' time)`, which may raise; tries again if somebody else was
        faster. Its data is deleted after `deleted_after_s`, or not at all. Raises InstanceConflict too."""
        for _ in range(TRIES):
            found = await self.read()
            new = make(found.stored(slug), found.now_ms)
            due_ms = None if deleted_after_s is None else found.now_ms + round(deleted_after_s * 1000)
            if await self.replace(slug, found.text(slug), new, due_ms):
                return new
        raise StoreError(f"{slug} is being changed by others all the time, try again")

    async def replace(self, slug: str, old: bytes, new: Record | None, due_ms: int | None = None) -> bool:
        """Replaces the text `old` by `new`; b"" and None: no record. Its data is to be deleted at `due_ms`.
        False: the record is not `old` any more. Raises InstanceConflict if another one has the identity."""
        reply = await self._store.run_until(
            self.within_s,
            _CHANGE,
            (keys.INSTANCES, keys.INSTANCES_IDENTITIES, keys.INSTANCES_VERSION, keys.INSTANCES_REMOVALS),
            slug,
            old,
            dump(new) if new else "",
            load(old).identity_digest if old else "",
            new.identity_digest if new and new.removed_ms is None else "",
            "" if due_ms is None else due_ms,
            secrets.token_hex(8),
            durable=True,
        )
        if reply[0] == b"identity":
            raise InstanceConflict(
                f"{reply[1].decode()} has this identity token: Takaro knows one server by it"
            )
        self._store.hint(keys.WAKE_INSTANCES, slug)
        return bool(reply[0] == b"done")

    async def put_back(self, records: Mapping[str, Record]) -> int:
        """Writes `records` into a Redis that was emptied, all or none. Returns the number of records written;
        0: Redis is not empty, or another service was faster."""
        kept = {slug: record for slug, record in records.items() if record.removed_ms is None}
        written = await self._store.run_until(
            self.within_s,
            _PUT_BACK,
            (keys.INSTANCES, keys.INSTANCES_IDENTITIES, keys.INSTANCES_VERSION),
            secrets.token_hex(8),
            *[word for slug, one in kept.items() for word in (slug, dump(one), one.identity_digest)],
            durable=True,
        )
        if not written:
            return 0
        for slug in kept:
            self._store.hint(keys.WAKE_INSTANCES, slug)
        return len(kept)
