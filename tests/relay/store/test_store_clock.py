"""Redis' clock, reckoned on from ours."""

import time

import pytest

from services.relay.store import clock as store_clock
from services.relay.store.clock import StoreClock


@pytest.mark.parametrize("way_s", [0.0, 0.03, 5.0])
def test_what_it_tells_is_never_too_early_and_late_by_the_way_there_at_most(way_s: float) -> None:
    clock, ahead_us = StoreClock(), 7_000_000
    asked_s = time.monotonic() - 2 * way_s
    clock.told(int((asked_s + way_s) * 1_000_000) + ahead_us, asked_s)
    truth_us = int(asked_s * 1_000_000) + ahead_us
    assert truth_us - 1 <= clock.at_us(asked_s) <= truth_us + way_s * 1_000_000 + 1


def test_a_slow_reply_is_not_believed_while_there_is_a_prompt_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = StoreClock()
    assert not clock.known
    clock.told(0, time.monotonic())
    before = clock.at_us(0.0)
    clock.told(10**12, time.monotonic() - 1)
    assert clock.known and clock.at_us(0.0) == before
    monkeypatch.setattr(store_clock, "OLD_S", 0.0)
    clock.told(10**12, time.monotonic() - 1)
    assert clock.at_us(0.0) != before


def test_a_clock_that_was_set_is_known_with_the_next_reply() -> None:
    clock = StoreClock()
    for redis_us in (0, 60_000_000):
        asked_s = time.monotonic()
        clock.told(redis_us, asked_s)
        assert abs(clock.at_us(asked_s) - redis_us) < 1_000
