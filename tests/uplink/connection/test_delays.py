"""Delays are spread, grow, and stop growing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.uplink.connection.link_times import LINK_TIMES, Delays

RECONNECT, REFUSED = LINK_TIMES.reconnect, LINK_TIMES.refused
PACES = [RECONNECT, REFUSED, LINK_TIMES.identify_again]


def lowest(low: float, _high: float) -> float:
    return low


def highest(_low: float, high: float) -> float:
    return high


@pytest.mark.parametrize(
    ("attempt", "ceiling_s"), [(0, 0.5), (1, 1.0), (2, 2.0), (6, 32.0), (7, 60.0), (1_000_000, 60.0)]
)
def test_the_ceiling_doubles_up_to_the_cap(attempt: int, ceiling_s: float) -> None:
    assert RECONNECT.delay_s(attempt, highest) == ceiling_s
    assert RECONNECT.delay_s(attempt, lowest) == 0.0  # full jitter: a fleet comes back spread


def test_a_permanent_refusal_is_asked_about_slowly() -> None:
    assert REFUSED.delay_s(0, lowest) >= 30.0
    assert REFUSED.delay_s(100, highest) == 300.0


@pytest.mark.parametrize("pace", PACES)
@given(attempt=st.integers(min_value=0, max_value=10**9), share=st.floats(min_value=0, max_value=1))
def test_every_delay_is_within_its_bounds(pace: Delays, attempt: int, share: float) -> None:
    delay_s = pace.delay_s(attempt, lambda low, high: low + (high - low) * share)
    assert 0.0 <= delay_s <= pace.cap_s
