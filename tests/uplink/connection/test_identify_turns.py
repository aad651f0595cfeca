"""Turns to identify against a real store: a burst at once, then one after the other."""

from services.relay.protocol.keys import IDENTIFIES
from services.relay.store.client import Script, Store

TURN = Script("identify_turn")
INTERVAL_MS, BURST = 1_000, 5


async def waits_ms(store: Store, count: int) -> list[int]:
    return [await store.run(TURN, (IDENTIFIES,), INTERVAL_MS, BURST) for _ in range(count)]


async def test_a_burst_goes_at_once_and_the_rest_one_after_the_other(store: Store) -> None:
    await store.send("DEL", IDENTIFIES)
    waits = await waits_ms(store, 3 * BURST)
    assert waits[:BURST] == [0] * BURST
    assert waits == sorted(waits)
    assert INTERVAL_MS * BURST < waits[-1] <= INTERVAL_MS * 2 * BURST


async def test_a_clock_that_was_set_back_delays_no_identify(store: Store) -> None:
    seconds, _ = await store.run(Script("clock"), (IDENTIFIES,))
    an_hour_ahead_ms = (int(seconds) + 3600) * 1000
    await store.send("SET", IDENTIFIES, f"0 {an_hour_ahead_ms}")
    assert await waits_ms(store, BURST) == [0] * BURST
