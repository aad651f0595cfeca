"""Stored instances in Redis: no change is lost, a removed instance comes back whole or is deleted whole."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import astuple

import pytest
from pydantic import SecretStr

from services.relay.instances.facts import InstanceData, LinkInfo
from services.relay.instances.once import Once
from services.relay.instances.records import Record, digest_of, open_keys
from services.relay.instances.registry import Registry
from services.relay.protocol.errors import InstanceConflict, NoSuchInstance
from services.relay.protocol.keys import (
    INSTANCES,
    INSTANCES_CLOCK,
    INSTANCES_IDENTITIES,
    INSTANCES_REMOVALS,
    INSTANCES_VERSION,
    WAKE_INSTANCES,
    keys_of,
)
from services.relay.service.settings import Instance
from services.relay.store.client import Store
from tests.support.set_clock import set_clock
from tests.support.waiting import until

OF_FILE = Instance(
    slug="of-file",
    name="Of the file",
    identity_token=SecretStr("identity-of-file"),
    mod_keys=(SecretStr("key-of-the-file-0123"),),
)


@pytest.fixture
async def registry(store: Store) -> AsyncIterator[Registry]:
    await asyncio.gather(
        *(
            store.send("DEL", key)
            for key in (
                INSTANCES,
                INSTANCES_IDENTITIES,
                INSTANCES_VERSION,
                INSTANCES_REMOVALS,
                INSTANCES_CLOCK,
            )
        )
    )
    yield registry_of(store)


def registry_of(store: Store, **delays: float) -> Registry:
    return Registry(store, lambda: [OF_FILE], **delays)


async def records(registry: Registry) -> dict[str, Record]:
    found = (await registry.records.read()).records()
    assert found is not None
    return found


async def test_an_instance_is_stored_with_only_the_digest_of_its_key(
    registry: Registry, store: Store
) -> None:
    record, key = await registry.create("one", "Server one")
    assert await records(registry) == {"one": record}
    assert [one.digest for one in record.mod_key_digests] == [digest_of(key)] and len(key) >= 43
    assert key.encode() not in await store.send("HGET", INSTANCES, "one")
    assert len(record.identity_token.get_secret_value()) >= 43


async def test_a_look_returns_records_only_if_they_have_changed(registry: Registry) -> None:
    empty = await registry.records.read()
    assert empty.texts == {} and (await registry.records.read(empty.version)).texts is None
    await registry.create("one", "Server one")
    found = await registry.records.read(empty.version)
    assert found.texts and (await registry.records.read(found.version)).texts is None


async def test_if_many_panels_create_one_slug_one_succeeds(registry: Registry) -> None:
    outcomes = await asyncio.gather(
        *(registry.create("one", f"Server {number}") for number in range(20)), return_exceptions=True
    )
    issued = [one for one in outcomes if not isinstance(one, BaseException)]
    assert len(issued) == 1 and await records(registry) == {"one": issued[0].record}
    assert all(isinstance(one, InstanceConflict) for one in outcomes if isinstance(one, BaseException))


async def test_if_many_panels_use_one_identity_one_succeeds(registry: Registry) -> None:
    token = SecretStr("the-same")
    outcomes = await asyncio.gather(
        *(registry.create(f"s{n}", "A server", identity_token=token) for n in range(20)),
        return_exceptions=True,
    )
    assert sum(not isinstance(one, BaseException) for one in outcomes) == 1
    assert len(await records(registry)) == 1


async def test_two_panels_lose_no_change(registry: Registry, store: Store) -> None:
    await registry.create("one", "Server one")
    other = Registry(store, list)
    await asyncio.gather(
        registry.patch("one", name="Renamed"),
        other.patch("one", disabled=True),
        registry.patch("one", registration_token="own"),
        other.rotate("one"),
    )
    record = (await records(registry))["one"]
    assert (record.name, record.disabled, len(record.mod_key_digests)) == ("Renamed", True, 2)
    assert record.registration_token and record.registration_token.get_secret_value() == "own"


async def test_three_rotations_leave_two_keys(registry: Registry) -> None:
    keys = [(await registry.create("one", "Server one")).mod_key]
    keys += [(await registry.rotate("one", force=True)).mod_key for _ in range(3)]
    found = await registry.records.read()
    stored = found.stored("one")
    assert stored
    opens = open_keys(stored.mod_key_digests, registry.records.age_s)
    assert [key.digest for key in opens] == [digest_of(key) for key in keys[-2:]]
    assert opens[0].expires_ms and opens[0].expires_ms - found.now_ms > 23 * 3_600_000


async def test_a_second_rotation_is_refused_while_the_replaced_key_works(registry: Registry) -> None:
    first = (await registry.create("one", "Server one")).mod_key
    second = (await registry.rotate("one", overlap_s=3_600.0)).mod_key
    with pytest.raises(
        InstanceConflict, match="one has a new key already, and the previous one is valid until 20"
    ):
        await registry.rotate("one", overlap_s=0)
    (record,) = (await records(registry)).values()
    assert [key.digest for key in record.mod_key_digests] == [digest_of(first), digest_of(second)]


async def test_a_second_rotation_is_accepted_when_the_replaced_key_is_over(registry: Registry) -> None:
    first = (await registry.create("one", "Server one")).mod_key
    second = await registry.rotate("one", overlap_s=0.1)
    await until(lambda: len(open_keys(second.record.mod_key_digests, registry.records.age_s)) == 1)
    assert (await registry.rotate("one")).mod_key not in (first, second.mod_key)


ONCE = Once(b"call-1")


async def test_a_repeated_call_takes_effect_once_even_at_the_same_time(
    registry: Registry, store: Store
) -> None:
    other = Registry(store, list)
    added = await asyncio.gather(
        *(each.create("one", "Server one", once=ONCE) for each in (registry, other) for _ in range(3))
    )
    assert len(set(added)) == 1
    second = Once(b"call-2")
    rotated = await asyncio.gather(
        *(each.rotate("one", once=second) for each in (registry, other) for _ in range(3))
    )
    assert len(set(rotated)) == 1 and rotated[0].mod_key != added[0].mod_key
    assert [key.digest for key in rotated[0].record.mod_key_digests] == [
        digest_of(added[0].mod_key),
        digest_of(rotated[0].mod_key),
    ]


async def test_a_repeat_never_restores_a_replaced_key(registry: Registry) -> None:
    identity = SecretStr("the-identity")
    await registry.create("one", "Server one", identity_token=identity, once=ONCE)
    await registry.rotate("one", overlap_s=0)
    with pytest.raises(InstanceConflict, match="is not valid any more"):
        await registry.create("one", "Server one", identity_token=identity, once=ONCE)
    await registry.remove("one")
    with pytest.raises(InstanceConflict, match="is not valid any more"):
        await registry.create("one", "Server one", identity_token=identity, once=ONCE)
    assert (await registry.create("one", "Server one", identity_token=identity)).record.removed_ms is None


async def test_a_repeat_from_before_a_server_was_removed_gives_no_new_key_to_the_one_after(
    registry: Registry,
) -> None:
    identity = SecretStr("the-identity")
    await registry.create("one", "Server one", identity_token=identity)
    await registry.rotate("one", once=ONCE)
    await registry.remove("one")
    again = (await registry.create("one", "Server one", identity_token=identity)).record
    with pytest.raises(InstanceConflict, match="is not valid any more"):
        await registry.rotate("one", once=ONCE)
    assert (await records(registry))["one"] == again


async def test_no_key_can_be_computed_from_the_data_in_redis(registry: Registry, store: Store) -> None:
    mod_key = (await registry.create("one", "Server one", once=ONCE)).mod_key
    stored = await store.send("HGET", INSTANCES, "one")
    for secret in (mod_key.encode(), ONCE.seed):
        assert secret not in stored


@pytest.mark.parametrize("call", ["patch", "rotate", "remove"])
async def test_an_unknown_instance_and_one_of_the_file_cannot_be_changed(
    registry: Registry, call: str
) -> None:
    def change(slug: str):  # type: ignore[no-untyped-def]
        return registry.patch(slug, name="abc") if call == "patch" else getattr(registry, call)(slug)

    with pytest.raises(NoSuchInstance):
        await change("nobody")
    with pytest.raises(InstanceConflict, match=r"is defined in relay\.toml"):
        await change("of-file")


async def test_the_stored_record_of_an_instance_of_the_file_can_be_removed(
    registry: Registry, store: Store
) -> None:
    await Registry(store, list).create("of-file", "Of both")
    await registry.remove("of-file")
    assert (await records(registry))["of-file"].removed_ms is not None
    with pytest.raises(InstanceConflict, match=r"is defined in relay\.toml"):
        await registry.remove("of-file")


async def test_a_slug_or_identity_of_the_file_cannot_be_taken(registry: Registry, store: Store) -> None:
    with pytest.raises(InstanceConflict, match=r"defined in relay\.toml"):
        await registry.create("of-file", "A server")
    with pytest.raises(InstanceConflict, match="has this identity token"):
        await registry.create("one", "A server", identity_token=OF_FILE.identity_token)
    keyless = Registry(store, lambda: [OF_FILE.model_copy(update={"mod_keys": ()})])
    with pytest.raises(InstanceConflict, match="has no mod key"):
        await keyless.create("one", "A server")


async def test_every_change_publishes_a_hint(registry: Registry, store: Store) -> None:
    heard: asyncio.Queue[list[str]] = asyncio.Queue()

    async def listen() -> None:
        async for _, slugs in store.hints(WAKE_INSTANCES):
            await heard.put(slugs)

    listening = asyncio.create_task(listen())
    assert await asyncio.wait_for(heard.get(), 30) == []
    await registry.create("one", "Server one")
    assert await asyncio.wait_for(heard.get(), 30) == ["one"]
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def make_data(store: Store, slug: str) -> None:
    await InstanceData(store, slug).write_link(LinkInfo("ready", "an-id"))
    await store.send("SET", keys_of(slug).contact, "1")


async def has_data(store: Store, slug: str) -> bool:
    return bool(await store.send("EXISTS", *astuple(keys_of(slug))))


async def test_data_of_a_removed_instance_is_deleted_when_it_is_due(registry: Registry, store: Store) -> None:
    impatient = registry_of(store, removed_kept_s=0.0, purged_after_s=0.0)
    for slug in ("one", "two"):
        await registry.create(slug, "A server")
        await make_data(store, slug)
    await registry.remove("two")
    await impatient.remove("one", purge=True)
    assert await registry.forget_removed() == ["one"]
    assert not await has_data(store, "one") and await has_data(store, "two")
    assert list(await records(registry)) == ["two"]
    with pytest.raises(NoSuchInstance):
        await impatient.remove("two")
    await impatient.remove("two", purge=True)  # a change of mind
    assert await registry.forget_removed() == ["two"]
    assert await registry.forget_removed() == []
    assert await store.send("HLEN", INSTANCES_IDENTITIES) == 0


async def test_a_clock_that_is_set_forward_deletes_no_data_early(
    registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await registry.create("one", "A server")
    await make_data(store, "one")
    await registry.remove("one")
    assert await registry.forget_removed() == []
    set_clock(store, 8 * 86_400, monkeypatch)
    assert await registry.forget_removed() == []
    assert await has_data(store, "one")
    started_anew = Registry(store, list)
    assert await started_anew.forget_removed() == []
    assert await has_data(store, "one")


async def test_a_clock_that_is_set_back_deletes_no_data_late(
    registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await registry.create("one", "A server")
    await make_data(store, "one")
    await registry_of(store, purged_after_s=1.0).remove("one", purge=True)
    set_clock(store, -8 * 86_400, monkeypatch)
    await until(registry.forget_removed)
    assert not await has_data(store, "one")


async def test_a_repeated_call_is_recognised_after_the_clock_was_set_forward(
    registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await registry.create("one", "Server one", once=ONCE)
    set_clock(store, 8 * 86_400, monkeypatch)
    assert await registry.create("one", "Server one", once=ONCE) == first


async def test_the_overlap_has_its_full_length_after_the_clock_was_set_back(
    registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await registry.create("one", "Server one")
    set_clock(store, -3600, monkeypatch)
    await registry.records.read()
    record = (await registry.rotate("one", overlap_s=10.0)).record
    assert len(open_keys(record.mod_key_digests, registry.records.age_s)) == 2
    record = (await registry.rotate("one", overlap_s=0.5, force=True)).record
    await until(lambda: len(open_keys(record.mod_key_digests, registry.records.age_s)) == 1)


async def test_a_removed_instance_is_restored_only_with_its_identity(
    registry: Registry, store: Store
) -> None:
    first, old_key = await registry.create("one", "Server one")
    await make_data(store, "one")
    await registry_of(store, removed_kept_s=0.0).remove("one")
    with pytest.raises(InstanceConflict, match="still has its data"):
        await registry.create("one", "Another")
    again, key = await registry.create("one", "Server one", identity_token=first.identity_token)
    assert [one.digest for one in again.mod_key_digests] == [digest_of(key)] and key != old_key
    assert await registry.forget_removed() == [] and await has_data(store, "one")


async def test_the_identity_of_a_removed_instance_can_be_used_again(registry: Registry) -> None:
    first, _ = await registry.create("one", "Server one")
    await registry.remove("one")
    await registry.create("two", "Server two", identity_token=first.identity_token)
    with pytest.raises(InstanceConflict, match="two has this identity token"):
        await registry.create("one", "Server one", identity_token=first.identity_token)


async def test_the_data_of_a_slug_that_the_file_has_now_is_kept(registry: Registry, store: Store) -> None:
    before = Registry(store, list, purged_after_s=0.0)
    await before.create("of-file", "A server")
    await before.remove("of-file", purge=True)
    await make_data(store, "of-file")
    assert await registry.forget_removed() == ["of-file"]
    assert await has_data(store, "of-file") and await records(registry) == {}
    await store.send("DEL", *astuple(keys_of("of-file")))


async def test_an_interrupted_purge_is_finished_and_cannot_be_undone(
    registry: Registry, store: Store
) -> None:
    slug = f"s-{uuid.uuid4().hex[:8]}"
    record, _ = await registry.create(slug, "A server")
    await make_data(store, slug)
    await registry_of(store, purged_after_s=0.0).remove(slug, purge=True)
    found = await registry.records.read()
    old = found.stored(slug)
    assert old
    purging = old.model_copy(update={"purging": True})
    assert await registry.records.replace(slug, found.text(slug), purging, 0)
    with pytest.raises(InstanceConflict):
        await registry.create(slug, "A server", identity_token=record.identity_token)
    assert await registry.forget_removed() == [slug] and not await has_data(store, slug)


async def test_an_unreadable_record_does_not_affect_others(registry: Registry, store: Store) -> None:
    await registry.create("one", "Server one")
    await store.send("HSET", INSTANCES, "bad", "{}")
    assert list(await records(registry)) == ["one"]
    with pytest.raises(InstanceConflict, match="cannot be read"):
        await registry.remove("bad")


async def test_an_unreadable_record_keeps_no_data_of_other_removed_instances(
    registry: Registry, store: Store
) -> None:
    impatient = registry_of(store, purged_after_s=0.0)
    for slug in ("one", "two"):
        await registry.create(slug, f"Server {slug}")
        await impatient.remove(slug, purge=True)
    await store.send("HSET", INSTANCES, "one", "{}")
    assert await registry.forget_removed() == ["two"]


async def empty(store: Store) -> None:
    await store.send("DEL", INSTANCES, INSTANCES_IDENTITIES, INSTANCES_VERSION, INSTANCES_REMOVALS)


async def test_an_emptied_redis_gets_all_servers_and_identities_back(
    registry: Registry, store: Store
) -> None:
    for slug in ("one", "two", "three", "gone"):
        await registry.create(slug, f"Server {slug}")
    await registry.remove("gone")
    before = await records(registry)
    await empty(store)
    assert await registry.records.put_back(before) == 3
    assert await records(registry) == {slug: before[slug] for slug in ("one", "two", "three")}
    for slug in ("one", "two", "three"):
        with pytest.raises(InstanceConflict, match=f"{slug} has this identity token"):
            await registry.create("new", "Another", identity_token=before[slug].identity_token)


async def test_if_several_services_put_back_one_succeeds(registry: Registry, store: Store) -> None:
    for slug in ("one", "two"):
        await registry.create(slug, f"Server {slug}")
    before = await records(registry)
    await empty(store)
    other = Registry(store, list)
    assert sorted(
        await asyncio.gather(registry.records.put_back(before), other.records.put_back(before))
    ) == [0, 2]
    version = (await registry.records.read()).version
    assert await other.records.put_back({"old": before["one"]}) == 0
    assert (await registry.records.read()).version == version and await records(registry) == before


async def test_a_record_that_was_changed_after_a_put_back_is_not_overwritten(
    registry: Registry, store: Store
) -> None:
    await registry.create("one", "Server one")
    before = await records(registry)
    await empty(store)
    await registry.records.put_back(before)
    changed = await registry.patch("one", name="Renamed")
    assert await registry.records.put_back(before) == 0 and await records(registry) == {"one": changed}


async def test_if_all_servers_are_removed_nothing_is_put_back(registry: Registry, store: Store) -> None:
    await registry.create("gone", "Gone")
    await registry.remove("gone")
    before = await records(registry)
    await empty(store)
    assert await registry.records.put_back(before) == 0
    found = await registry.records.read()
    assert found.version and found.texts == {}
