"""An instance has one owner at a time, and a holder stops before another one can begin."""

from services.relay.protocol.keys import keys_of
from services.relay.service.clocks import boottime_s
from services.relay.store.client import Store
from services.relay.store.leases import TRUSTED_FOR_S, TTL_MS, Lease
from tests.support.redis_server import RedisServer


async def test_a_holder_trusts_its_lease_for_a_while_after_it_asked(store: Store, slug: str) -> None:
    one, asked_s = lease(store, slug), boottime_s()
    assert one.trusted_until_s < 0.0
    await one.renew()
    assert asked_s + TRUSTED_FOR_S <= one.trusted_until_s <= boottime_s() + TRUSTED_FOR_S


def test_a_holder_stops_well_before_redis_may_give_the_lease_away() -> None:
    assert TRUSTED_FOR_S + 1.0 < TTL_MS / 1000


def lease(store: Store, slug: str, uplink: str = "one") -> Lease:
    return Lease(store, slug, uplink)


async def test_one_of_two_gets_the_lease_and_the_other_after_it_is_released(store: Store, slug: str) -> None:
    one, other = lease(store, slug), lease(store, slug, "other")
    assert (await one.renew()).mine and one.trusted_until_s > boottime_s()
    found = await other.renew()
    assert not found.mine and found.record.startswith(one.token)
    assert not other.held and other.trusted_until_s < boottime_s()
    await one.release()
    assert one.trusted_until_s < boottime_s()
    assert (await other.renew()).mine


async def test_a_look_without_take_leaves_a_lease_free(store: Store, slug: str) -> None:
    renewal = await lease(store, slug).renew(take=False)
    assert not renewal.mine and renewal.record == ""


async def test_a_lease_that_ran_out_unnoticed_and_was_not_taken_is_taken_again(
    store: Store, slug: str
) -> None:
    one = lease(store, slug)
    await one.renew()
    await store.send("DEL", keys_of(slug).lease)
    assert (await one.renew()).mine


async def test_each_renewal_changes_the_record(store: Store, slug: str) -> None:
    one = lease(store, slug)
    assert len({(await one.renew()).record for _ in range(3)}) == 3


async def test_releasing_does_not_touch_the_lease_of_another(store: Store, slug: str) -> None:
    one, other = lease(store, slug), lease(store, slug, "other")
    await one.renew()
    await other.release()
    assert (await one.renew()).mine


async def test_a_record_that_stood_still_is_taken_whatever_its_time_to_live(store: Store, slug: str) -> None:
    dead, other = lease(store, slug), lease(store, slug, "other")
    record = (await dead.renew()).record
    await store.send("PEXPIRE", keys_of(slug).lease, 3_600_000)
    assert not (await other.renew()).mine
    assert (await other.renew(dead=record)).mine
    assert not (await dead.renew()).mine  # it continues after its freeze


async def test_a_record_that_moved_on_meanwhile_is_not_taken_for_dead(store: Store, slug: str) -> None:
    alive, other = lease(store, slug), lease(store, slug, "other")
    record = (await alive.renew()).record
    await alive.renew()
    assert not (await other.renew(dead=record)).mine


async def test_an_owner_sees_which_uplink_stands_by_and_when_it_leaves(store: Store, slug: str) -> None:
    owner, other = lease(store, slug), lease(store, slug, "other")
    assert (await owner.renew()).wanted == ""
    await other.renew(want="waiting")
    assert (await owner.renew()).wanted == "waiting"
    await other.renew(want="ready")
    assert (await owner.renew()).wanted == "ready"
    assert (await owner.renew()).wanted == ""  # the other uplink no longer stands by


async def test_a_full_redis_renews_leases(redis_server: RedisServer, store: Store, slug: str) -> None:
    one = lease(store, slug)
    await one.renew()
    await store.send("CONFIG", "SET", "maxmemory", "1")
    try:
        assert (await one.renew()).mine
        assert (await lease(store, slug, "other").renew()).record
        await one.release()
        assert (await lease(store, slug, "other").renew()).mine
    finally:
        await store.send("CONFIG", "SET", "maxmemory", "0")
