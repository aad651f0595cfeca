"""Moments of our clock are converted to Redis' clock."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.protocol.keys import keys_of
from services.relay.protocol.records import GameEvent
from services.relay.store.client import Store
from services.relay.store.clock import OLD_S, PROMPT_S, StoreClock, moment_ms
from services.relay.store.event_stream import EventStream
from services.relay.store.repeats import digest
from services.relay.store.stream_entries import EventBatch, PostedEvent

LINE: GameEvent = {"type": "log", "data": {"msg": "a line"}}
AHEAD_US = 7_000_000
NOW_S = 1_000.0


def span_us(clock: StoreClock, moment_s: float) -> tuple[int, int]:
    moment_us = int(moment_s * 1_000_000)
    return moment_us + clock.least_ahead_us, moment_us + clock.most_ahead_us


@pytest.mark.parametrize("way_s", [0.0, 0.03, 5.0])
def test_the_latest_time_is_never_too_early_and_at_most_a_round_trip_too_late(way_s: float) -> None:
    clock, asked_s = StoreClock(), NOW_S - 2 * way_s
    clock.observe(int((asked_s + way_s) * 1_000_000) + AHEAD_US, asked_s, NOW_S)
    truth_us = int(asked_s * 1_000_000) + AHEAD_US
    earliest_us, latest_us = span_us(clock, asked_s)
    assert truth_us - 1 <= latest_us <= truth_us + way_s * 1_000_000 + 1
    assert earliest_us <= truth_us + 1


def test_a_slow_reply_is_not_believed_while_there_is_a_prompt_one() -> None:
    clock = StoreClock()
    assert clock.known_until_s < NOW_S
    clock.observe(0, NOW_S, NOW_S)
    before = span_us(clock, 0.0)
    clock.observe(10**12, NOW_S, NOW_S + PROMPT_S)
    assert clock.known_until_s > NOW_S + 1 and span_us(clock, 0.0) == before
    assert clock.known_until_s <= NOW_S + OLD_S
    clock.observe(10**12, NOW_S + OLD_S - 1, NOW_S + OLD_S)
    assert span_us(clock, 0.0) != before


def test_a_clock_that_was_set_is_known_with_the_next_reply() -> None:
    clock = StoreClock()
    for redis_us in (0, 60_000_000):
        clock.observe(redis_us, NOW_S, NOW_S)
        assert span_us(clock, NOW_S) == (redis_us, redis_us)


def test_a_reading_in_milliseconds_is_never_too_early_and_never_too_late() -> None:
    clock, truth_us = StoreClock(), int(NOW_S * 1_000_000) + 7_654_321
    clock.observe(truth_us // 1000 * 1000, NOW_S, NOW_S, within_us=1000)
    earliest_us, latest_us = span_us(clock, NOW_S)
    assert earliest_us <= truth_us <= latest_us <= truth_us + 1_000


async def test_all_streams_of_a_store_ask_one_clock_that_any_reply_tells(store: Store, slug: str) -> None:
    key = keys_of(slug).events
    assert store.clock_of(key).known_until_s < time.monotonic()
    await EventStream(store, slug).append(EventBatch([PostedEvent(digest("line"), LINE)]))
    assert store.clock_of(key).known_until_s > time.monotonic()
    assert store.clock_of(keys_of(slug).contact) is store.clock_of(key)
    earliest_us, latest_us = await store.redis_us(key, time.monotonic())
    assert earliest_us <= latest_us and abs(latest_us - await store.read_clock(key)) < 200_000


SPANS_US = st.integers(0, 100_000)


@given(st.integers(0, 10**15), st.lists(st.tuples(SPANS_US, SPANS_US, SPANS_US, SPANS_US), min_size=2))
def test_later_moments_are_never_earlier_on_redis_clock_however_long_replies_take(
    ahead_us: int, asks: list[tuple[int, int, int, int]]
) -> None:
    now_us, moment_us, found_ms = 0, 7_000_000, 0
    for pause_us, there_us, back_us, later_us in asks:
        asked_us = now_us + pause_us
        now_us = asked_us + there_us + back_us
        moment_us += later_us
        redis_us = ahead_us + asked_us + there_us
        before_ms = found_ms
        found_ms = moment_ms(moment_us / 1e6, redis_us, asked_us / 1e6, now_us / 1e6, before_ms)
        assert found_ms >= before_ms
        assert ahead_us + moment_us - back_us - 1_002 <= found_ms * 1_000 <= ahead_us + moment_us + 1


def test_a_clock_that_was_set_back_makes_a_moment_earlier() -> None:
    assert moment_ms(NOW_S + 7, AHEAD_US, NOW_S, NOW_S, 10**12) == AHEAD_US // 1000 + 7_000
