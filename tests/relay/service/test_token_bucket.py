"""A token bucket admits its rate and no more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.service.token_bucket import TokenBucket


def admitted(bucket: TokenBucket, asked: int, now_s: float) -> int:
    return sum(bucket.admits(now_s) for _ in range(asked))


def test_a_burst_passes_and_then_the_rate_of_the_bucket() -> None:
    bucket = TokenBucket(20, 200, 100.0)
    assert admitted(bucket, 1_000, 100.0) == 200
    assert admitted(bucket, 1_000, 101.0) == 20
    assert admitted(bucket, 1_000, 101.5) == 10
    assert admitted(bucket, 1_000, 101.0) == 0  # a clock that goes back gives nothing
    assert admitted(bucket, 1_000, 900.0) == 200  # and no more is saved up


@given(
    st.floats(0.05, 1_000),
    st.floats(0, 1_000),
    st.lists(st.tuples(st.floats(0, 30), st.integers(0, 300)), min_size=1, max_size=20),
)
def test_no_more_pass_than_the_rate_and_one_burst(
    per_s: float, most: float, looks: list[tuple[float, int]]
) -> None:
    bucket, now_s, passed = TokenBucket(per_s, most, 0.0), 0.0, 0
    for after_s, asked in looks:
        now_s += after_s
        passed += admitted(bucket, asked, now_s)
        assert passed <= max(1.0, most) + per_s * now_s + 1e-6


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 50)), max_size=60))
def test_tokens_taken_beyond_the_level_are_owed(story: list[tuple[float, int]]) -> None:
    bucket, now_s, taken, last = TokenBucket(5.0, 20.0, 0.0), 0.0, 0, 0
    for wait_s, count in story:
        now_s += wait_s
        if bucket.level(now_s) >= 1:
            bucket.take(count)
            taken, last = taken + count, count
    assert taken - last <= 20 + 5 * now_s + 1e-6


@given(st.floats(0.1, 50), st.integers(1, 10))
def test_after_wait_s_there_are_as_many_tokens_as_were_asked_for(per_s: float, count: int) -> None:
    bucket = TokenBucket(per_s, 10, 0.0)
    bucket.take(10)
    assert bucket.level(bucket.wait_s(count)) == pytest.approx(count)
