"""Moments that are shared by many callers."""

import asyncio
import time

import uvloop
from hypothesis import given
from hypothesis import strategies as st

from services.relay.service.clocks import boottime_s, next_shared_s, until_shared_s

NOW_S = st.floats(min_value=0.0, max_value=1e9)
PERIOD_S = st.floats(min_value=0.01, max_value=10.0)


@given(NOW_S, PERIOD_S)
def test_the_next_shared_moment_comes_within_a_period(now_s: float, period_s: float) -> None:
    assert -1e-6 < next_shared_s(now_s, period_s) - now_s <= period_s + 1e-6


@given(st.integers(0, 10**9), st.floats(0.1, 0.9), st.floats(0.1, 0.9))
def test_all_callers_within_a_period_get_the_same_moment(periods: int, one: float, other: float) -> None:
    assert next_shared_s((periods + one) * 0.1, 0.1) == next_shared_s((periods + other) * 0.1, 0.1)


def test_a_wait_for_a_shared_moment_never_ends_before_it() -> None:
    async def periods() -> None:
        for _ in range(40):
            due_s = next_shared_s(time.monotonic(), 0.005)
            await asyncio.sleep(until_shared_s(0.005))
            assert time.monotonic() >= due_s

    uvloop.run(periods())


def test_the_clock_of_leases_goes_on() -> None:
    assert boottime_s() <= boottime_s()
