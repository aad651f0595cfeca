"""A process that stood still knows that the data it reads may be old."""

import pytest

from services.relay.service.arrivals import ALIVE_EVERY_S, READ_WITHIN_S, Stalls


def alive_at(*at_s: float) -> Stalls:
    stalls = Stalls(at_s[0])
    for moment_s in at_s[1:]:
        stalls.alive(moment_s)
    return stalls


STEADY = [n * ALIVE_EVERY_S for n in range(9)]  # to 2 s


def test_bytes_that_a_running_loop_reads_are_new() -> None:
    assert alive_at(*STEADY).waited_s(2.1) == 0


def test_bytes_read_before_the_first_sign_of_life_after_a_standstill_may_be_as_old_as_it() -> None:
    assert alive_at(*STEADY).waited_s(17.0) == pytest.approx(15.0)


@pytest.mark.parametrize(("after_s", "old"), [(0.0, True), (READ_WITHIN_S / 2, True), (READ_WITHIN_S, False)])
def test_bytes_read_soon_after_a_standstill_may_be_as_old_as_it(after_s: float, old: bool) -> None:
    stalls = alive_at(*STEADY, 17.0)
    reports = int(after_s / ALIVE_EVERY_S)
    for number in range(1, reports + 1):
        stalls.alive(17.0 + number * ALIVE_EVERY_S)
    assert (stalls.waited_s(17.0 + after_s) >= 15.0) is old


def test_a_busy_moment_is_not_a_standstill() -> None:
    assert alive_at(*STEADY, 2.6).waited_s(2.7) == 0


def test_bytes_from_one_standstill_read_after_another_may_be_as_old_as_both() -> None:
    stalls = alive_at(*STEADY, 17.0)
    assert stalls.waited_s(18.5) == pytest.approx(16.5)
    stalls.alive(18.5)
    assert stalls.waited_s(18.6) == pytest.approx(16.5)
    assert alive_at(*STEADY, 17.0, *[17.0 + n * ALIVE_EVERY_S for n in range(1, 20)]).waited_s(25.0) < 4.0


def test_many_standstills_with_time_to_read_between_them_do_not_add_up() -> None:
    """A request was refused as too old after a few, however new it was."""
    stalls, now_s = Stalls(0.0), 0.0
    for _ in range(10):
        for _ in range(6):
            now_s += ALIVE_EVERY_S
            stalls.alive(now_s)
        now_s += 2.0
        stalls.alive(now_s)
    assert stalls.waited_s(now_s + 0.1) == pytest.approx(4.0)  # the last one, and the one 1.5 s before it
