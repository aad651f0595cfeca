"""The instances that are stored in Redis: reads, adds, changes and removes them, and replaces their mod keys.

Every change is one script that takes effect only if nobody else has changed the record meanwhile.
"""

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple
from datetime import UTC, datetime
from typing import NamedTuple

from pydantic import SecretStr

from services.relay.instances import once as once_calls
from services.relay.instances import records as instance_records
from services.relay.instances.once import Once
from services.relay.instances.records import AgeS, InstanceUpdate, KeyDigest, Record, digest_of
from services.relay.protocol.errors import (
    InstanceConflict,
    NoSuchInstance,
    RotationUnderWay,
    StoreError,
)
from services.relay.protocol.keys import (
    INSTANCES,
    INSTANCES_CLOCK,
    INSTANCES_IDENTITIES,
    INSTANCES_REMOVALS,
    INSTANCES_VERSION,
    WAKE_INSTANCES,
    keys_of,
)
from services.relay.service.clocks import boot_id, boottime_s
from services.relay.service.settings import Instance
from services.relay.store.client import Script, Store, pairs
from services.relay.store.clock import SteppedClock

REMOVED_KEPT_S = 24 * 3600
"""How long the data of a removed instance is kept: until then it can be added again with its data."""

PURGED_AFTER_S = 5
"""Delay before a purge deletes data: a service that has not heard of the removal yet could still write."""

OVERLAP_S = 24 * 3600
"""Default time for which a replaced mod key still works."""

CLOCK_STORED_EVERY_S = 30.0
"""How often a service stores its last reading of Redis' clock; the next service that starts goes on from
it."""

TRIES = 20
"""Number of attempts at a change while others change the same record."""

WITHIN_S = 3.0
"""Time limit of one call of Redis."""

KEY_BYTES = 32
SALT_BYTES = 16

_READ = Script("read_instances")
_CHANGE = Script("change_instance")
_PUT_BACK = Script("put_back")

logger = logging.getLogger(__name__)


class RegistryLook(NamedTuple):
    """The stored instances at one moment. `records` is None if the caller knows this version already."""

    version: str
    now_ms: int
    records: dict[str, Record] | None


class Issued(NamedTuple):
    """A record and its new mod key, which is not stored: it is shown only once."""

    record: Record
    mod_key: str


class Registry:
    """The stored instances. `file` gives the instances of relay.toml, which cannot be changed here.

    Each look also reads Redis' clock. Every call raises StoreError; those that change something also raise
    InstanceConflict and NoSuchInstance.
    """

    def __init__(self, store: Store, file: Callable[[], Iterable[Instance]]) -> None:
        self._store = store
        self._file = file
        self._clock = SteppedClock(boot_id())

    async def look(self, version: str | None = None) -> RegistryLook:
        """The stored records, unless they still have the `version` that the caller knows."""
        raw = await self._look(version)
        return RegistryLook(raw.version, raw.now_ms, None if raw.records is None else _read(raw.records))

    def age_s(self, at_ms: float, behind: bool | None = None) -> float:
        """At least how long ago Redis' clock showed `at_ms`; 0 before the first look.

        `behind`: whether it had shown more before; None: unknown.
        """
        return self._clock.age(at_ms, boottime_s(), behind=behind).least_s

    async def create(
        self,
        slug: str,
        name: str,
        *,
        identity_token: SecretStr | None = None,
        registration_token: SecretStr | None = None,
        external_id: str | None = None,
        disabled: bool = False,
        once: Once | None = None,
    ) -> Issued:
        """Adds an instance, or restores a removed one that has the same identity, with its data.

        A repeat with the same `once` returns what the first call returned. It has an argument for
        each field that a caller may leave out.
        """
        self._refuse_those_of_the_file(slug, identity_token)
        for instance in self._file():
            if not instance.mod_keys:
                raise InstanceConflict(
                    f"{instance.slug} of relay.toml has no mod key: with several instances each needs one,"
                    " give it one first"
                )
        issuing = _Issuing(slug, once)
        given = identity_token or SecretStr(secrets.token_urlsafe(KEY_BYTES))

        def make(old: Record | None, now_ms: int) -> Record:
            if old and issuing.is_repeat(old, self.age_s):
                return old
            new = Record(
                name=name,
                identity_token=given,
                registration_token=registration_token,
                external_id=external_id,
                mod_key_digests=(self._key(issuing, now_ms),),
                disabled=disabled,
                created_ms=now_ms,
                done=old.done if old else (),
            )
            if old and old.removed_ms is None:
                raise InstanceConflict(f"the slug {slug} is taken: choose another one")
            if old and (old.purging or old.identity_digest != new.identity_digest):
                raise InstanceConflict(
                    f"a removed instance of the slug {slug} still has its data: give its identity token to"
                    " take it over, or wait until the data is deleted"
                )
            return issuing.remembered(new, now_ms, self.age_s)

        return Issued(await self._change(slug, make), issuing.mod_key)

    async def patch(self, slug: str, change: InstanceUpdate) -> Record:
        """Changes the fields that `change` gives. Raises ValueError too."""
        self._refuse_those_of_the_file(slug)
        return await self._change(slug, lambda old, _: instance_records.changed(_there(slug, old), change))

    async def rotate(
        self, slug: str, overlap_s: float = OVERLAP_S, *, force: bool = False, once: Once | None = None
    ) -> Issued:
        """Makes a new mod key. The previous key works for `overlap_s` more; any older key ends at once.

        Raises RotationUnderWay while an older key still works, unless `force`: the mod may still use it. A
        repeat with the same `once` returns what the first call returned.
        """
        self._refuse_those_of_the_file(slug)
        issuing, overlap_ms = _Issuing(slug, once), round(overlap_s * 1000)

        def make(old: Record | None, now_ms: int) -> Record:
            there = _there(slug, old)
            if issuing.is_repeat(there, self.age_s):
                return there
            left_s = instance_records.overlap_left_s(there, self.age_s)
            if left_s is not None and not force:
                until = _utc(now_ms + left_s * 1000)
                raise RotationUnderWay(
                    f"{slug} has a new key already, and the one before opens until {until}: a further"
                    ' rotation would end that now. If that is meant: `--force`, or "force": true'
                )
            rotated = instance_records.rotated(there, self._key(issuing, now_ms), overlap_ms)
            return issuing.remembered(rotated, now_ms, self.age_s)

        return Issued(await self._change(slug, make), issuing.mod_key)

    async def remove(self, slug: str, *, purge: bool = False) -> None:
        """Removes an instance. Its data is deleted after REMOVED_KEPT_S, with `purge` at once.

        The stored record of an instance that relay.toml has too can be removed: the instance of the file
        keeps running, with the data.
        """

        def make(old: Record | None, now_ms: int) -> Record:
            if old is None or old.removed_ms is not None:
                self._refuse_those_of_the_file(slug)
            if old and old.removed_ms is not None and purge:
                return old.model_copy(update={"removed_ms": now_ms})
            return instance_records.removed(_there(slug, old), now_ms)

        await self._change(slug, make, PURGED_AFTER_S if purge else REMOVED_KEPT_S)

    async def put_back(self, records: Mapping[str, Record]) -> int:
        """Writes the `records` into a Redis that was emptied, all or none. Several services may call it at
        once.

        Returns the number of records written; 0: Redis is not empty, or another service was faster.
        """
        kept = {slug: record for slug, record in records.items() if record.removed_ms is None}
        written = await self._store.run_until(
            WITHIN_S,
            _PUT_BACK,
            (INSTANCES, INSTANCES_IDENTITIES, INSTANCES_VERSION),
            secrets.token_hex(8),
            *(
                part
                for slug, record in kept.items()
                for part in (slug, instance_records.dump(record), record.identity_digest)
            ),
            durable=True,
        )
        if not written:
            return 0
        for slug in kept:
            self._store.hint(WAKE_INSTANCES, slug)
        return len(kept)

    async def forget_removed(self) -> list[str]:
        """Deletes the data of removed instances that are due, and returns their slugs. One service calls it
        now and then.

        It marks the record as purging, deletes the data, then the record: so nobody restores the instance
        while its data is being deleted.
        """
        found = await self._look()
        removals = await self._store.send("ZRANGE", INSTANCES_REMOVALS, 0, -1, "WITHSCORES")
        forgotten = []
        for member, due_ms in pairs(removals):
            slug = member.decode()
            old = _stored(found, slug)
            if old is None or old.record.removed_ms is None:
                continue  # it was added again
            if self.age_s(old.record.removed_ms) < (float(due_ms) - old.record.removed_ms) / 1000:
                continue
            purging = old.record.model_copy(update={"purging": True})
            if not await self._replace(slug, old, purging, due_ms=0):
                continue
            if slug not in {
                instance.slug for instance in self._file()
            }:  # otherwise the data belongs to the instance of the file
                await self._store.send("UNLINK", *astuple(keys_of(slug)))
            await self._replace(slug, _Stored(instance_records.dump(purging), purging), None)
            forgotten.append(slug)
        return forgotten

    def _refuse_those_of_the_file(self, slug: str, identity: SecretStr | None = None) -> None:
        for instance in self._file():
            if instance.slug == slug:
                raise InstanceConflict(f"{slug} is defined in relay.toml: change it there")
            if identity and instance.identity_token == identity:
                raise InstanceConflict(
                    f"{instance.slug} of relay.toml has this identity token: Takaro knows one server by it"
                )

    async def _change(
        self, slug: str, make: Callable[[Record | None, int], Record], deleted_after_s: int | None = None
    ) -> Record:
        """Replaces the record by `make(record, Redis' time)`; repeats that if somebody else was faster."""
        for _ in range(TRIES):
            found = await self._look()
            old = _stored(found, slug)
            new = make(old.record if old else None, found.now_ms)
            due_ms = None if deleted_after_s is None else found.now_ms + deleted_after_s * 1000
            if await self._replace(slug, old, new, due_ms):
                return new
        raise StoreError(f"{slug} is being changed by others all the time, try again")

    async def _look(self, version: str | None = None) -> "_Raw":
        if not self._clock.loaded:
            self._clock.load(await self._store.send("GET", INSTANCES_CLOCK) or b"", boottime_s())
        begun_s, asked_s = time.monotonic(), boottime_s()
        known = "?" if version is None else version
        keys = (INSTANCES, INSTANCES_VERSION)
        found, now_ms, *flat = await self._store.run_until(WITHIN_S, _READ, keys, known)
        self._store.clock_of(INSTANCES).observe(now_ms * 1000, begun_s, time.monotonic(), within_us=1000)
        now_s = boottime_s()
        self._clock.observe(now_ms, asked_s, now_s)
        if due := self._clock.due_dump(now_s, CLOCK_STORED_EVERY_S):
            self._store.send_unawaited("SET", INSTANCES_CLOCK, due)
        same = found.decode() == known
        return _Raw(found.decode(), now_ms, None if same else {k.decode(): v for k, v in pairs(flat)})

    def _key(self, issuing: "_Issuing", now_ms: int) -> KeyDigest:
        return KeyDigest(digest=issuing.digest, added_ms=now_ms, behind=self._clock.behind(now_ms))

    async def _replace(
        self, slug: str, old: "_Stored | None", new: Record | None, due_ms: int | None = None
    ) -> bool:
        """Returns False if the record is not `old` any more. Raises InstanceConflict if the identity is in
        use."""
        reply = await self._store.run_until(
            WITHIN_S,
            _CHANGE,
            (INSTANCES, INSTANCES_IDENTITIES, INSTANCES_VERSION, INSTANCES_REMOVALS),
            slug,
            old.text if old else "",
            instance_records.dump(new) if new else "",
            old.record.identity_digest if old else "",
            new.identity_digest if new and new.removed_ms is None else "",
            "" if due_ms is None else due_ms,
            secrets.token_hex(8),
            durable=True,
        )
        if reply[0] == b"identity":
            raise InstanceConflict(
                f"{reply[1].decode()} has this identity token: Takaro knows one server by it"
            )
        self._store.hint(WAKE_INSTANCES, slug)
        return bool(reply[0] == b"done")


class _Issuing:
    """The mod key that a call makes: a random one, or the same as the call that it repeats."""

    def __init__(self, slug: str, once: Once | None) -> None:
        self._slug = slug
        self._once = once
        self._salt = secrets.token_urlsafe(SALT_BYTES)
        self._random = secrets.token_urlsafe(KEY_BYTES)

    @property
    def mod_key(self) -> str:
        return once_calls.mod_key(self._once, self._slug, self._salt) if self._once else self._random

    @property
    def digest(self) -> str:
        return digest_of(self.mod_key)

    def is_repeat(self, record: Record, age_s: AgeS) -> bool:
        """Whether this call was done before. Raises InstanceConflict."""
        done = once_calls.repeated(record, self._once, age_s)
        if done:
            self._salt = done.salt
        return done is not None

    def remembered(self, record: Record, now_ms: int, age_s: AgeS) -> Record:
        """The `record`, which has the key already, with this call added if it has an Idempotency-Key."""
        if not self._once:
            return record
        return once_calls.remembered(record, self._once, self._slug, self._salt, now_ms, age_s)


class _Raw(NamedTuple):
    version: str
    now_ms: int
    records: dict[str, bytes] | None


class _Stored(NamedTuple):
    """A record, and the text that it was read from: the script compares that text before it replaces it."""

    text: bytes
    record: Record


def _stored(found: _Raw, slug: str) -> _Stored | None:
    text = (found.records or {}).get(slug)
    if text is None:
        return None
    try:
        return _Stored(text, instance_records.load(text))
    except ValueError:
        raise InstanceConflict(f"what Redis has of {slug} cannot be read: a newer relay wrote it") from None


def _there(slug: str, record: Record | None) -> Record:
    if record is None or record.removed_ms is not None:
        raise NoSuchInstance(f"there is no instance {slug}")
    return record


def _utc(at_ms: float) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _read(stored: Mapping[str, bytes]) -> dict[str, Record]:
    records = {}
    for slug, text in stored.items():
        try:
            records[slug] = instance_records.load(text)
        except ValueError:
            logger.error("[%s] the stored instance cannot be read and is left out", slug)
    return records
