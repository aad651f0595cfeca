"""What is remembered of calls with a wrong key: by address, bounded, the last one first."""

import asyncio
import time

import pytest

from services.relay.instances import strangers as module
from services.relay.instances.strangers import KEPT, Stranger, Strangers
from services.relay.store import Store


@pytest.fixture
async def strangers(store: Store, monkeypatch: pytest.MonkeyPatch) -> Strangers:
    await store.send("DEL", "relay:strangers")
    monkeypatch.setattr(module, "NOTED_APART_S", 0.0)
    return Strangers(store)


async def found(strangers: Strangers, count: int) -> list[Stranger]:
    async with asyncio.timeout(5):
        while len(known := await strangers.all()) < count:
            await asyncio.sleep(0.01)
    return known


async def test_each_address_is_kept_with_the_server_that_it_named(strangers: Strangers) -> None:
    strangers.note("2001:db8::1")
    await found(strangers, 1)
    await asyncio.sleep(0.002)
    strangers.note("10.0.0.9", "one")
    assert [one[1:] for one in await found(strangers, 2)] == [("10.0.0.9", "one"), ("2001:db8::1", "")]


async def test_only_the_last_ones_are_kept(strangers: Strangers, store: Store) -> None:
    for number in range(KEPT + 20):
        strangers.note(f"10.0.1.{number}")
    assert len(await found(strangers, KEPT)) == KEPT
    assert 0 < await store.send("TTL", "relay:strangers") <= module.KEPT_S


async def test_one_that_has_not_called_for_long_is_not_told(strangers: Strangers, store: Store) -> None:
    now_ms = round(time.time() * 1000)
    for age_s, address in ((module.KEPT_S + 5, "10.0.0.1"), (module.KEPT_S - 60, "10.0.0.2")):
        await store.send("ZADD", "relay:strangers", now_ms - age_s * 1000, f" {address}")
    assert [one.address for one in await strangers.all()] == ["10.0.0.2"]
