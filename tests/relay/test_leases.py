"""One owner at a time, and a holder that stops before another can begin."""

import pytest

from services.relay.leases import TRUSTED_FOR_S, TTL_MS, Lease, Standing
from services.relay.store import Store


@pytest.mark.parametrize(
    ("standing", "now_s", "trusted"),
    [
        (Standing(held=True, asked_s=100.0), 100.0, True),
        (Standing(held=True, asked_s=100.0), 100.0 + TRUSTED_FOR_S - 0.01, True),
        (Standing(held=True, asked_s=100.0), 100.0 + TRUSTED_FOR_S, False),
        (Standing(held=False, asked_s=100.0), 100.0, False),
        (Standing(), 0.0, False),
    ],
)
def test_a_holder_trusts_its_lease_for_a_while_after_it_asked(
    standing: Standing, now_s: float, trusted: bool
) -> None:
    assert standing.trusted(now_s) is trusted


def test_a_holder_stops_well_before_redis_may_give_the_lease_away() -> None:
    assert TRUSTED_FOR_S + 1.0 < TTL_MS / 1000


async def test_one_of_two_gets_the_lease_and_the_other_after_it_is_released(store: Store, slug: str) -> None:
    one, other = Lease(store, slug), Lease(store, slug)
    assert await one.renew() and one.trusted
    assert not await other.renew()
    assert not other.held and not other.trusted
    await one.release()
    assert not one.trusted
    assert await other.renew()


async def test_a_lease_that_ran_out_unnoticed_and_was_not_taken_is_taken_again(
    store: Store, slug: str
) -> None:
    lease = Lease(store, slug)
    await lease.renew()
    await store.send("DEL", f"relay:{{{slug}}}:lease")
    assert await lease.renew()


async def test_releasing_does_not_touch_the_lease_of_another(store: Store, slug: str) -> None:
    one, other = Lease(store, slug), Lease(store, slug)
    await one.renew()
    await other.release()
    assert await one.renew()
