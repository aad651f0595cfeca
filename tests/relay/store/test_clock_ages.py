"""Setting a clock does not change the age of anything."""

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.relay.store.clock import (
    BELIEVED_S,
    DRIFT,
    STEP_S,
    AgeRange,
    ClockStep,
    SteppedClock,
    age_of,
)
from services.relay.store.event_stream import entries_of

DAY_S = 86_400.0
START_MS = 1_700_000_000_000


@dataclass
class Redis:
    """A Redis whose clock is set, with a stream. Times are true times."""

    now_s: float = 1_000.0
    set_s: float = 0.0
    top_ms: int = 0
    accepted: list[tuple[float, int, bool | None]] = field(default_factory=list)

    @property
    def shows_ms(self) -> int:
        return START_MS + round((self.now_s + self.set_s) * 1000)

    def accept(self) -> None:
        at_ms = self.shows_ms
        self.top_ms = max(self.top_ms, at_ms)
        fields = (b"events", b"[]", b"at", str(at_ms).encode())
        [stored] = entries_of([(f"{self.top_ms}-0".encode(), fields)])
        self.accepted.append((self.now_s, stored.accepted_ms, stored.behind))


def read(clock: SteppedClock, redis: Redis) -> ClockStep | None:
    return clock.observe(redis.shows_ms, redis.now_s, redis.now_s)


QUIET = st.one_of(
    st.tuples(st.just("pass"), st.floats(0.1, 20.0) | st.floats(100.0, 10 * DAY_S)),
    st.tuples(st.sampled_from(["accept", "read", "restart"]), st.just(0.0)),
)
SET_FORWARD = st.tuples(st.just("set"), st.floats(5.0, 20 * DAY_S))
SET_BACK = st.tuples(st.just("set"), st.floats(-20 * DAY_S, -5.0))
MOVED = st.tuples(st.just("move to another machine"), st.just(0.0))


def play(moves: list[tuple[str, float]]) -> tuple[SteppedClock, Redis]:
    clock, redis = SteppedClock("this boot"), Redis()
    read(clock, redis)
    for what, amount_s in moves:
        match what:
            case "pass":
                redis.now_s += amount_s
            case "set":
                redis.set_s += amount_s
                redis.now_s += 1.0
                read(clock, redis)  # two steps between two readings are one to whoever looks
            case "accept":
                redis.accept()
            case "read":
                read(clock, redis)
            case _:
                noted = clock.dump()
                clock = SteppedClock("this boot" if what == "restart" else f"another boot {redis.now_s}")
                clock.load(noted)
                read(clock, redis)
    read(clock, redis)
    return clock, redis


def watched(moves: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """The same, with a look at the clock just before it is set."""
    return [one for move in moves for one in ([("read", 0.0), move] if move[0] == "set" else [move])]


def judged(moves: list[tuple[str, float]]) -> list[tuple[AgeRange, float, float]]:
    """For each accepted event: the reported age, the true age, and the possible error by drift."""
    clock, redis = play(moves)
    near_s = STEP_S + DRIFT * sum(amount_s for what, amount_s in moves if what == "pass") + 0.01
    return [
        (clock.age(at_ms, redis.now_s, behind=behind), redis.now_s - accepted_s, near_s)
        for accepted_s, at_ms, behind in redis.accepted
    ]


@given(st.lists(QUIET | SET_FORWARD | SET_BACK | MOVED, max_size=25))
@example([("accept", 0.0), ("set", 8 * DAY_S), ("accept", 0.0), ("pass", 3.0)])
@example([("accept", 0.0), ("set", -8 * DAY_S), ("accept", 0.0), ("pass", 3.0)])
@example([("accept", 0.0), ("pass", 50.0), ("move to another machine", 0.0)])
def test_the_true_age_lies_within_the_range(moves: list[tuple[str, float]]) -> None:
    for age, true_s, near_s in judged(moves):
        assert age.least_s - near_s <= true_s <= age.most_s + near_s


@given(st.lists(QUIET | SET_FORWARD, max_size=25).map(watched))
def test_the_age_is_known_where_somebody_watches_it_being_set_forward(
    moves: list[tuple[str, float]],
) -> None:
    for age, true_s, near_s in judged(moves):
        assert abs(age.most_s - true_s) <= near_s + 1.0
        assert abs(age.least_s - true_s) <= near_s + 1.0


@pytest.mark.parametrize("days", [8, -8])
def test_a_step_is_logged_once_with_its_size(days: int) -> None:
    clock, redis = SteppedClock("a boot"), Redis()
    read(clock, redis)
    redis.now_s += 1.0
    assert read(clock, redis) is None
    redis.set_s = days * DAY_S
    redis.now_s += 1.0
    step = read(clock, redis)
    assert step and step.size_s == days * DAY_S
    assert read(clock, redis) is None


@pytest.mark.parametrize("days", [8, -8])
def test_events_from_before_and_after_a_step_have_their_true_age(days: int) -> None:
    clock, redis = SteppedClock("a boot"), Redis()
    redis.accept()
    redis.now_s += 1.0
    read(clock, redis)
    redis.set_s = days * DAY_S
    redis.accept()
    redis.now_s += 1.0
    read(clock, redis)
    ages = [clock.age(at_ms, redis.now_s, behind=behind) for _, at_ms, behind in redis.accepted]
    assert ages == [AgeRange(2.0, 2.0), AgeRange(1.0, 1.0)]


def test_a_restarted_process_on_the_same_machine_sees_the_step_that_it_missed() -> None:
    clock, redis = SteppedClock("a boot"), Redis()
    redis.accept()
    read(clock, redis)
    noted = clock.dump()
    redis.now_s, redis.set_s = redis.now_s + 5.0, 8 * DAY_S
    clock = SteppedClock("a boot")
    clock.load(noted)
    step = read(clock, redis)
    assert step and step.size_s == 8 * DAY_S
    assert clock.age(redis.accepted[0][1], redis.now_s) == AgeRange(5.0, 5.0)


def test_after_a_boot_a_step_of_the_clock_cannot_be_told_from_passed_days() -> None:
    clock, redis = SteppedClock("a boot"), Redis()
    redis.accept()
    read(clock, redis)
    noted = clock.dump()
    redis.now_s += 8 * DAY_S
    clock = SteppedClock("another boot")
    clock.load(noted)
    step = read(clock, redis)
    assert step and step.between_ms is None
    redis.now_s += 3.0
    assert clock.age(redis.accepted[0][1], redis.now_s) == AgeRange(3.0, 8 * DAY_S + 3.0)


def test_a_machine_that_takes_over_at_once_believes_the_clock() -> None:
    clock, redis = SteppedClock("a boot"), Redis()
    redis.accept()
    read(clock, redis)
    noted = clock.dump()
    redis.now_s += BELIEVED_S - 1.0
    clock = SteppedClock("another boot")
    clock.load(noted)
    assert read(clock, redis) is None
    assert clock.age(redis.accepted[0][1], redis.now_s) == AgeRange(BELIEVED_S - 1.0, BELIEVED_S - 1.0)


def test_a_clock_that_stood_back_after_a_boot_leaves_the_age_open() -> None:
    clock, redis = SteppedClock("a boot"), Redis()
    redis.accept()
    read(clock, redis)
    noted = clock.dump()
    redis.now_s, redis.set_s = redis.now_s + 100.0, -8 * DAY_S
    clock = SteppedClock("another boot")
    clock.load(noted)
    assert read(clock, redis)
    assert clock.age(redis.accepted[0][1], redis.now_s).most_s == math.inf


def test_a_reading_that_took_long_is_not_a_step() -> None:
    clock, redis = SteppedClock("a boot"), Redis()
    read(clock, redis)
    shown_ms, asked_s = redis.shows_ms, redis.now_s
    redis.now_s += 60.0
    assert clock.observe(shown_ms, asked_s, redis.now_s) is None
    assert read(clock, redis) is None


def test_a_first_reading_that_was_long_on_its_way_makes_the_next_one_no_step() -> None:
    clock, redis = SteppedClock("a boot"), Redis()
    clock.observe(redis.shows_ms, redis.now_s - 5.0, redis.now_s)
    assert read(clock, redis) is None
    redis.set_s = 5.0
    assert read(clock, redis)


@pytest.mark.parametrize("after_the_step", [False, True])
def test_a_time_that_the_clock_has_shown_twice_has_the_age_of_the_one_that_is_meant(
    after_the_step: bool,
) -> None:
    clock, redis = SteppedClock("a boot"), Redis()
    read(clock, redis)
    at_ms, at_s, behind = redis.shows_ms, redis.now_s, clock.behind(redis.shows_ms)
    redis.now_s += 100.0
    read(clock, redis)
    redis.set_s -= 100.0
    read(clock, redis)
    if after_the_step:
        at_s, behind = redis.now_s, clock.behind(redis.shows_ms)
    assert redis.shows_ms - at_ms == 0 and behind is after_the_step
    redis.now_s += 300.0
    age = AgeRange(redis.now_s - at_s, redis.now_s - at_s)
    assert clock.age(at_ms, redis.now_s, behind=behind) == age
    assert clock.age(at_ms, redis.now_s) == AgeRange(300.0, 400.0)
    assert clock.behind(redis.shows_ms) is False


def test_an_event_that_may_come_after_an_unseen_step_back_has_the_age_of_the_clock() -> None:
    assert age_of((), START_MS, START_MS - 5_000, behind=True) == AgeRange(5.0, 5.0)


def test_a_clock_that_was_never_read_knows_no_age() -> None:
    assert SteppedClock("a boot").age(START_MS, 5.0) == AgeRange(0.0, math.inf)


def test_a_time_in_the_future_of_a_clock_without_steps_has_an_unknown_age() -> None:
    assert age_of((), START_MS, START_MS + 60_000) == AgeRange(0.0, math.inf)


@pytest.mark.parametrize("noted", [b"", b"[]", b"{}", b'{"boot":"b","read":null,"steps":[]}', b"\xff", b"7"])
def test_an_unreadable_dump_of_a_clock_is_ignored(noted: bytes) -> None:
    clock, redis = SteppedClock("b"), Redis()
    clock.load(noted)
    assert read(clock, redis) is None


def test_only_the_last_steps_are_remembered() -> None:
    clock, redis = SteppedClock("a boot"), Redis()
    for number in range(200):
        redis.set_s = 60.0 * (number % 2)
        read(clock, redis)
    assert len(clock.dump()) < 3_000
