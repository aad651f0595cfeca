"""The instances that are stored in Redis: adds, changes and removes them, and replaces their mod keys."""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import astuple
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypedDict, Unpack

from pydantic import SecretStr

from services.relay.instances import records
from services.relay.instances.once import Once, is_repeat
from services.relay.instances.record_store import RecordStore
from services.relay.instances.records import KeyDigest, Record, digest_of
from services.relay.protocol.errors import InstanceConflict, NoSuchInstance, RotationUnderWay
from services.relay.protocol.keys import INSTANCES_REMOVALS, keys_of
from services.relay.service.settings import Instance
from services.relay.store.client import Store, pairs

KEY_BYTES = 32

REMOVED_KEPT_S = 24 * 3600.0  # how long a removed instance can be added again with its data

PURGED_AFTER_S = 5.0  # a service that has not heard of the removal yet could still write

OVERLAP_S = 24 * 3600  # default time for which a replaced mod key still works


class Issued(NamedTuple):
    """A record and its new mod key, which is not stored: it is shown only once."""

    record: Record
    mod_key: str


class InstanceFields(TypedDict, total=False):
    """The fields of a new instance that a caller may set."""

    registration_token: SecretStr | None
    external_id: str | None
    disabled: bool


class Registry:
    """The stored instances. `file` gives the instances of relay.toml, which cannot be changed here. Every
    call raises StoreError; those that change something also raise InstanceConflict and NoSuchInstance."""

    def __init__(
        self,
        store: Store,
        file: Callable[[], Iterable[Instance]],
        *,
        removed_kept_s: float = REMOVED_KEPT_S,
        purged_after_s: float = PURGED_AFTER_S,
    ) -> None:
        self.records = RecordStore(store)
        self._store = store
        self._file = file
        self._removed_kept_s = removed_kept_s
        self._purged_after_s = purged_after_s

    async def create(
        self,
        slug: str,
        name: str,
        identity_token: SecretStr | None = None,
        once: Once | None = None,
        **given: Unpack[InstanceFields],
    ) -> Issued:
        """Adds an instance, or restores a removed one that has the same identity, with its data. A repeat
        with the same `once` returns what the first call returned."""
        self._refuse_those_of_the_file(slug, identity_token)
        for instance in self._file():
            if not instance.mod_keys:
                raise InstanceConflict(
                    f"{instance.slug} of relay.toml has no mod key: with several instances each needs one,"
                    " give it one first"
                )
        mod_key = _mod_key(slug, once)
        identity = identity_token or SecretStr(secrets.token_urlsafe(KEY_BYTES))

        def make(old: Record | None, now_ms: int) -> Record:
            if is_repeat(once, digest_of(mod_key), old, self.records.age_s) and old:
                return old
            made = old.made if old else ()
            new = Record(name=name, identity_token=identity, created_ms=now_ms, made=made, **given)
            if old and old.removed_ms is None:
                raise InstanceConflict(f"the slug {slug} is taken: choose another one")
            if old and (old.purging or old.identity_digest != new.identity_digest):
                raise InstanceConflict(
                    f"the removed server {slug} still has its data: give its identity token to take it over,"
                    f" or delete its data (`dayz-relay instance remove {slug} --purge`) and wait a minute"
                )
            return records.rotated(new, self._key(mod_key, now_ms), overlap_ms=0)

        return Issued(await self.records.change(slug, make), mod_key)

    async def patch(self, slug: str, **change: Any) -> Record:
        """Changes the fields of the record that are given (see `records.changed`). Raises ValueError too."""
        self._refuse_those_of_the_file(slug)
        return await self.records.change(slug, lambda old, _: records.changed(_there(slug, old), change))

    async def rotate(
        self, slug: str, overlap_s: float = OVERLAP_S, *, force: bool = False, once: Once | None = None
    ) -> Issued:
        """Makes a new mod key. The previous key works for `overlap_s` more; any older key ends at once.

        Raises RotationUnderWay while an older key still works, unless `force`: the mod may still use it. A
        repeat with the same `once` returns what the first call returned.
        """
        self._refuse_those_of_the_file(slug)
        mod_key, age_s = _mod_key(slug, once), self.records.age_s

        def make(old: Record | None, now_ms: int) -> Record:
            there = _there(slug, old)
            if is_repeat(once, digest_of(mod_key), there, age_s):
                return there
            left_s = records.overlap_left_s(there, age_s)
            if left_s is not None and not force:
                until = f"{datetime.fromtimestamp(now_ms / 1000 + left_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
                raise RotationUnderWay(
                    f"{slug} has a new key already, and the previous one is valid until {until}: a further"
                    ' rotation would end that now. If that is meant: `--force`, "force": true, or the box'
                    " on the page"
                )
            return records.rotated(there, self._key(mod_key, now_ms), round(overlap_s * 1000))

        return Issued(await self.records.change(slug, make), mod_key)

    async def remove(self, slug: str, *, purge: bool = False) -> None:
        """Removes an instance. Its data is deleted a day later, with `purge` at once. If relay.toml has the
        instance too, that one keeps running, with the data."""

        def make(old: Record | None, now_ms: int) -> Record:
            if old is None or old.removed_ms is not None:
                self._refuse_those_of_the_file(slug)
            if old and old.removed_ms is not None and purge:
                return old.model_copy(update={"removed_ms": now_ms})
            return records.removed(_there(slug, old), now_ms)

        await self.records.change(slug, make, self._purged_after_s if purge else self._removed_kept_s)

    async def forget_removed(self) -> list[str]:
        """Deletes the data of removed instances that are due, and returns their slugs. One service calls it.
        The record is marked as purging first, so nobody restores the instance meanwhile."""
        found = await self.records.read()
        removals = await self._store.send("ZRANGE", INSTANCES_REMOVALS, 0, -1, "WITHSCORES")
        forgotten = []
        for member, due_ms in pairs(removals):
            slug = member.decode()
            try:
                old = found.stored(slug)
            except InstanceConflict:
                continue  # the newer relay that wrote it deletes its data
            if old is None or old.removed_ms is None:
                continue  # it was added again
            if self.records.age_s(old.removed_ms) < (float(due_ms) - old.removed_ms) / 1000:
                continue
            purging = old.model_copy(update={"purging": True})
            if not await self.records.replace(slug, found.text(slug), purging, due_ms=0):
                continue
            if slug not in {instance.slug for instance in self._file()}:  # else it is data of the file's one
                await self._store.send("UNLINK", *astuple(keys_of(slug)))
            await self.records.replace(slug, records.dump(purging), None)
            forgotten.append(slug)
        return forgotten

    def _refuse_those_of_the_file(self, slug: str, identity: SecretStr | None = None) -> None:
        for instance in self._file():
            if instance.slug == slug:
                raise InstanceConflict(
                    f"{slug} is defined in relay.toml or the environment (.env): change it there"
                )
            if identity and instance.identity_token == identity:
                raise InstanceConflict(
                    f"{instance.slug} of relay.toml has this identity token: Takaro knows one server by it"
                )

    def _key(self, mod_key: str, now_ms: int) -> KeyDigest:
        behind = self.records.clock.behind(now_ms)
        return KeyDigest(digest=digest_of(mod_key), added_ms=now_ms, behind=behind)


def _mod_key(slug: str, once: Once | None) -> str:
    return once.secret("mod key", slug) if once else secrets.token_urlsafe(KEY_BYTES)


def _there(slug: str, record: Record | None) -> Record:
    if record is None or record.removed_ms is not None:
        raise NoSuchInstance(f"there is no server {slug}")
    return record
