"""Calls with a wrong key are remembered by address, the newest first, and not without bound."""

import asyncio
import time

import pytest

from services.relay.instances import wrong_keys as module
from services.relay.instances.wrong_keys import KEPT, WrongKeyCall, WrongKeyCalls
from services.relay.store.client import Store
from tests.support.waiting import until


@pytest.fixture
async def wrong_calls(store: Store) -> WrongKeyCalls:
    await store.send("DEL", "relay:unknown-keys")
    return WrongKeyCalls(store, noted_apart_s=0.0)


async def found(wrong_calls: WrongKeyCalls, count: int) -> list[WrongKeyCall]:
    return await until(wrong_calls.all, met=lambda known: len(known) >= count)


async def test_an_address_is_kept_with_the_server_that_the_call_was_for(
    wrong_calls: WrongKeyCalls,
) -> None:
    wrong_calls.note("2001:db8::1")
    await found(wrong_calls, 1)
    await asyncio.sleep(0.002)  # calls of one millisecond have no order
    wrong_calls.note("10.0.0.9", "one")
    assert [one[1:] for one in await found(wrong_calls, 2)] == [("10.0.0.9", "one"), ("2001:db8::1", "")]


async def test_only_the_last_calls_are_kept(wrong_calls: WrongKeyCalls, store: Store) -> None:
    for number in range(KEPT + 20):
        wrong_calls.note(f"10.0.1.{number}")
    assert len(await found(wrong_calls, KEPT)) == KEPT
    assert 0 < await store.send("TTL", "relay:unknown-keys") <= module.KEPT_S


async def test_an_old_call_is_not_returned(wrong_calls: WrongKeyCalls, store: Store) -> None:
    now_ms = round(time.time() * 1000)
    for age_s, address in ((module.KEPT_S + 5, "10.0.0.1"), (module.KEPT_S - 60, "10.0.0.2")):
        await store.send("ZADD", "relay:unknown-keys", now_ms - age_s * 1000, f" {address}")
    assert [one.address for one in await wrong_calls.all()] == ["10.0.0.2"]
