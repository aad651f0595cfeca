"""Redis knows to whose socket Takaro sends requests, even if identifies overlap or uplinks die."""

import asyncio
import secrets

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.relay.protocol.keys import keys_of
from services.relay.store.client import Store
from services.relay.store.leases import Lease, LeaseTimes
from tests.support.redis_server import RedisServer


async def identify(lease: Lease) -> None:
    assert await lease.announce_identify()
    await lease.note_identified()


async def test_the_uplink_that_identified_last_is_the_newest_even_without_the_lease(
    store: Store, slug: str
) -> None:
    one, other = Lease(store, slug, "one"), Lease(store, slug, "other")
    assert not (await one.renew()).newest
    await identify(one)
    assert (await one.renew()).newest
    assert await other.announce_identify()
    assert (await other.renew(want="waiting")).newest
    assert not (await one.renew()).newest
    await other.note_identified()
    await one.release()
    assert (await other.renew()).newest and not (await one.renew(take=False)).newest
    assert await one.identified_elsewhere() and not await other.identified_elsewhere()


@pytest.mark.parametrize("last", ["one", "other"])
async def test_neither_of_two_overlapping_identifies_is_the_newest(
    store: Store, slug: str, last: str
) -> None:
    owner, other = Lease(store, slug, "one"), Lease(store, slug, "other")
    await owner.renew()
    assert await other.announce_identify()
    assert await owner.announce_identify()
    first, second = (owner, other) if last == "other" else (other, owner)
    await first.note_identified()
    await second.note_identified()
    assert not (await owner.renew()).newest and not (await other.renew()).newest
    assert not await owner.identified_elsewhere()
    await identify(owner)
    assert (await owner.renew()).newest


async def test_an_identify_without_an_answer_stays_open_until_the_owner_ends_it(
    store: Store, slug: str
) -> None:
    owner, dead = Lease(store, slug, "owner"), Lease(store, slug, "dead")
    await owner.renew()
    assert await dead.announce_identify()
    await identify(owner)
    found = await owner.renew()
    assert not found.newest and found.open_identifies == dead.token
    found = await owner.renew(ended_identifies="another open_identifies")
    assert found.open_identifies == dead.token
    found = await owner.renew(ended_identifies=found.open_identifies)
    assert not found.newest and not found.open_identifies
    await identify(owner)
    assert (await owner.renew()).newest


async def test_our_identify_on_a_lost_socket_may_still_be_the_last(store: Store, slug: str) -> None:
    owner, other = Lease(store, slug, "owner"), Lease(store, slug, "other")
    await owner.renew()
    assert await owner.announce_identify()
    assert await owner.announce_identify()
    found = await owner.renew()
    assert found.newest and not found.open_identifies, "it identifies: nothing can be done before the answer"
    await owner.note_identified()
    assert not (await owner.renew()).newest and not await other.identified_elsewhere()
    for _ in range(2):
        await identify(owner)
        assert (await owner.renew()).newest


async def test_only_the_owner_ends_open_identifies_in_redis(store: Store, slug: str) -> None:
    owner, dead, other = (Lease(store, slug, name) for name in ("owner", "dead", "other"))
    await owner.renew()
    assert await dead.announce_identify()
    assert (await other.renew(ended_identifies=dead.token)).open_identifies == dead.token


async def test_an_uplink_that_lost_the_lease_unawares_announces_nothing(store: Store, slug: str) -> None:
    before, owner = Lease(store, slug, "before"), Lease(store, slug, "owner")
    await before.renew()
    await store.send("DEL", keys_of(slug).lease)
    await owner.renew()
    await identify(owner)
    assert before.held and not await before.announce_identify()
    assert (await owner.renew()).newest


async def test_an_identify_whose_announcement_took_long_is_not_sent(store: Store, slug: str) -> None:
    in_no_time = LeaseTimes(announced_for_s=0.0)
    assert not await Lease(store, slug, "one", times=in_no_time).announce_identify()
    assert await Lease(store, slug, "one").announce_identify()


@pytest.mark.parametrize("newest", ["?older-version", "older-version"])
async def test_a_record_of_an_older_version_is_read(store: Store, slug: str, newest: str) -> None:
    owner = Lease(store, slug, "owner")
    await store.send("HSET", keys_of(slug).link, "newest", newest)
    found = await owner.renew()
    assert not found.newest and found.open_identifies == newest.removeprefix("older-version").removeprefix(
        "?"
    )
    await identify(owner)
    assert (await owner.renew()).newest is (newest == "older-version")


async def test_uplinks_that_crash_again_and_again_do_not_let_the_open_identifies_grow(
    store: Store, slug: str
) -> None:
    for _ in range(50):
        await Lease(store, slug, "crashing").announce_identify()
    assert len((await Lease(store, slug, "owner").renew()).open_identifies.split()) <= 8


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["announce", "land", "land late", "note", "lose", "die"])),
    max_size=14,
)


@given(steps=STEPS)
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_newest_uplink_is_the_one_that_takaro_asks(
    redis_server: RedisServer, slug: str, steps: list[tuple[int, str]]
) -> None:
    """Identifies reach Takaro at any time after they were announced, also when their socket is lost or their
    uplink has died; but those of lost sockets before the owner identifies again because of them.
    """
    asyncio.run(_play(redis_server.url, f"{slug}-{secrets.token_hex(6)}", steps))


async def _play(url: str, slug: str, steps: list[tuple[int, str]]) -> None:
    store = Store(url, call_timeout_s=20.0)
    uplinks = [Lease(store, slug, str(number)) for number in range(3)]
    begun: dict[int, str] = {}
    """What became of the last identify of each uplink, until that has noted its answer."""
    late: dict[int, bool] = {}
    """Uplinks with an identify on its way from a lost socket, and whether they have noted an answer since."""
    dead, asked = set[int](), -1
    try:
        for number, what in steps:
            alive, last = number not in dead, begun.get(number)
            if what == "announce" and alive and last in (None, "lost"):
                if late.get(number):
                    del late[number]
                assert await uplinks[number].announce_identify()
                begun[number] = "sent"
            elif what == "land" and last == "sent":
                begun[number], asked = "landed", number
            elif what == "land late" and number in late:
                del late[number]
                asked = -1
            elif what == "note" and alive and last == "landed":
                await uplinks[number].note_identified()
                del begun[number]
                if number in late:
                    late[number] = True
            elif what == "lose" and alive and last == "sent":
                begun[number], late[number] = "lost", False
            elif what == "die" and alive:
                dead.add(number)
            for other, uplink in enumerate(uplinks):
                newest = (await uplink.renew(take=False)).newest
                assert not newest or other in begun or other == asked
        await _owner_gets_its_socket_asked(store, slug)
    finally:
        await store.close()


async def _owner_gets_its_socket_asked(store: Store, slug: str) -> None:
    owner = Lease(store, slug, "owner")
    open_identifies = (await owner.renew()).open_identifies
    await owner.renew(ended_identifies=open_identifies)
    await identify(owner)
    assert (await owner.renew()).newest
