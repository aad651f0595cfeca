"""How much an instance and a stranger may ask for, by a clock that the test holds."""

from services.modapi.http import rate_limits
from services.modapi.http.body_memory import BodyMemory
from services.modapi.http.calls import CallKind
from services.modapi.http.rate_limits import BURST_S, RESULTS_AT_ONCE, RateLimits, WrongKeys
from services.relay.protocol.limits import Limits

SLOW = Limits(requests_per_s=2, events_per_s=10)


def test_a_burst_passes_and_then_the_rate() -> None:
    one = RateLimits(SLOW, 0.0)
    passed = [one.beyond(0.0) for _ in range(25)]
    assert passed.count("") == 2 * BURST_S and passed[-1] == "requests_per_s"
    assert [one.beyond(1.0) for _ in range(4)].count("") == 2


def test_an_excess_of_events_delays_the_next_posts() -> None:
    one = RateLimits(SLOW, 0.0)
    one.posted(1_000, 10)
    assert one.beyond(0.0, CallKind.EVENTS) == one.beyond(90.0, CallKind.EVENTS) == "events_per_s"
    assert one.beyond(91.0, CallKind.EVENTS) == ""


def test_neither_events_nor_results_hold_up_anything_else() -> None:
    events, results = RateLimits(SLOW, 0.0), RateLimits(SLOW, 0.0)
    events.posted(1_000, 10)
    results.posted_unasked((RESULTS_AT_ONCE + 1) * SLOW.result_bytes)
    for kind in CallKind:
        is_batch = kind in (CallKind.EVENTS, CallKind.AGENT)
        assert events.beyond(0.0, kind) == ("events_per_s" if is_batch else "")
        assert results.beyond(0.0, kind) == ("result_bytes" if kind is CallKind.RESULT else "")
    assert results.beyond(BURST_S, CallKind.RESULT) == ""


def test_a_body_that_must_be_repaired_uses_more_of_the_rate_than_a_plain_one() -> None:
    plain, repaired = RateLimits(SLOW, 0.0), RateLimits(SLOW, 0.0)
    plain.posted(1, 64 * 1024)
    repaired.posted(1, 64 * 1024, repaired=True)
    assert plain.beyond(0.0, CallKind.EVENTS) == ""
    assert repaired.beyond(0.0, CallKind.EVENTS) == "events_per_s"


def test_wrong_keys_are_counted_by_source_and_expire_with_time() -> None:
    tried = WrongKeys(per_minute=3)
    assert [tried.count("a", 0.0) for _ in range(5)] == [True, True, True, False, False]
    assert tried.count("b", 0.0)
    assert tried.count("a", 21.0) and not tried.count("a", 21.0)


def test_a_million_sources_take_no_more_memory_than_the_limit() -> None:
    tried = WrongKeys(per_minute=1)
    for number in range(rate_limits.MAX_SOURCES + 5_000):
        tried.count(str(number), 0.0)
    assert len(tried) == rate_limits.MAX_SOURCES
    assert not tried.count(str(rate_limits.MAX_SOURCES + 4_999), 0.0)  # the newest are remembered


def test_received_bytes_count_until_they_are_taken_off() -> None:
    memory = BodyMemory(100)
    assert memory.reserve(60) and not memory.reserve(60)
    memory.release(60)
    assert memory.reserve(100)
