"""Each invariant accepts a clean ledger, and complains about its own kind of fault."""

import math
import random
from typing import Any

import pytest

from tests.faults import invariants, marks
from tests.faults.ledger import Accepted, Arrival, Execution, Fault, Ledger, TakaroRequest


def a_ledger(*arrived: int, accepted: int = 0, lane: str = "line", uplink: str = "a#1") -> Ledger:
    """Of instance "s1": these numbers arrived, one each 100 ms from second 0 on."""
    ledger = Ledger()
    for number in range(1, (accepted or max(arrived, default=0)) + 1):
        ledger.accept(Accepted(0.0, "s1", number, lane))
    for place, number in enumerate(arrived):
        ledger.arrive(an_arrival(place / 10, number, uplink, lane))
    return ledger


def an_arrival(at_s: float, number: int, uplink: str = "a#1", lane: str = "line") -> Arrival:
    return Arrival(at_s, "s1", number, lane, uplink, 1, True)


def test_a_clean_ledger_breaks_nothing() -> None:
    ledger = a_ledger(1, 2, 3)
    ledger.requests["s1", 1] = TakaroRequest("s1", 1, asked_s=1.0)
    ledger.executions.append(Execution(2.0, "s1", "op", 1))
    ledger.responses["r"] = 1
    for check in (
        invariants.conservation,
        invariants.order,
        invariants.duplicates,
        invariants.single_owner,
        invariants.commands,
        invariants.answers,
        invariants.integrity,
    ):
        assert check(ledger) == []


def test_an_accepted_event_that_never_arrived_is_lost() -> None:
    assert invariants.conservation(a_ledger(1, 3)) == ["C: s1 2 was accepted and is lost"]


def test_an_event_that_arrives_before_its_acceptance_is_noted_is_not_lost() -> None:
    ledger = Ledger()
    ledger.arrive(an_arrival(1.0, 1))
    ledger.accept(Accepted(1.1, "s1", 1, "line"))
    assert invariants.conservation(ledger) == []


def test_first_arrivals_with_falling_numbers_are_out_of_order() -> None:
    assert len(invariants.order(a_ledger(1, 3, 2))) == 1


def test_a_repeat_is_not_out_of_order() -> None:
    assert invariants.order(a_ledger(1, 2, 1, 2, 3)) == []


def test_order_is_checked_for_each_player() -> None:
    ledger = a_ledger(1)
    ledger.arrive(an_arrival(1.0, 3, lane="player-1"))
    ledger.arrive(an_arrival(1.1, 2, lane="player-2"))
    assert invariants.order(ledger) == []
    ledger.arrive(an_arrival(1.2, 0, lane="player-1"))
    assert len(invariants.order(ledger)) == 1


def test_repeats_are_counted_for_the_fault_before_them() -> None:
    ledger = a_ledger(*range(1, 101))
    ledger.faults = [Fault("first", 20.0, 20.0, {}), Fault("second", 30.0, 30.0, {})]
    for number in range(1, 65):
        ledger.arrive(an_arrival(21.0, number))
    ledger.arrive(an_arrival(31.0, 1))
    assert invariants.repeats(ledger) == {("s1", 0): 64, ("s1", 1): 1}
    assert invariants.duplicates(ledger) == []
    ledger.arrive(an_arrival(22.0, 65))
    assert invariants.duplicates(ledger) == ["D: s1: 65 events were repeated after first (fault 1)"]


def test_a_repeat_without_a_fault_breaks_an_invariant() -> None:
    ledger = a_ledger(1, 1)
    assert invariants.duplicates(ledger) == ["D: s1: 1 events were repeated after no fault (fault 0)"]


def owners(*runs: tuple[float, str, int]) -> Ledger:
    """Runs of frames: from when on, of which uplink, how many (1 ms apart)."""
    ledger, number = Ledger(), 0
    for start_s, uplink, count in runs:
        for place in range(count):
            number += 1
            ledger.arrive(an_arrival(start_s + place / 1000, number, uplink))
    return ledger


@pytest.mark.parametrize(
    ("runs", "intruders"),
    [
        ([(0, "a", 5), (5, "b", 5)], 0),  # a take-over
        ([(0, "a", 5), (5, "b", 5), (30, "a", 5)], 0),  # and back, much later
        ([(0, "a", 5), (0.5, "b", 2), (1, "a", 5)], 1),  # both at once
        ([(0, "a", 5), (5, "b", 90), (5.2, "a", 3), (5.3, "b", 90)], 1),  # a frozen one woke up
    ],
)
def test_frames_of_two_uplinks_at_once_are_seen(runs: list[tuple[float, str, int]], intruders: int) -> None:
    ledger = owners(*runs)
    assert len(invariants.single_owner(ledger)) == intruders
    assert invariants.single_owner(ledger, late_writes=1) == []


def test_only_the_allowed_number_of_late_writes_is_accepted() -> None:
    ledger = owners((0, "a", 5), (5, "b", 90), (5.2, "a", 33), (5.3, "b", 90))
    assert invariants.single_owner(ledger, late_writes=1), "33 events are more than one write"
    ledger = owners((0, "a", 5), (5, "b", 90), (5.2, "a", 3), (5.3, "b", 90), (5.5, "a", 3), (5.6, "b", 9))
    assert len(invariants.single_owner(ledger, late_writes=1)) >= 1


def test_a_write_that_runs_twice_is_seen() -> None:
    ledger = Ledger()
    ledger.executions = [Execution(1.0, "s1", "op", 1), Execution(2.0, "s1", "op", 1)]
    assert sorted(invariants.commands(ledger)) == [
        "K: operation op ran 2 times",
        "K: write ('s1', 1) ran 2 times",
    ]


def test_a_write_that_runs_twice_under_two_operations_is_seen() -> None:
    ledger = Ledger()
    ledger.executions = [Execution(1.0, "s1", "op-1", 1), Execution(2.0, "s1", "op-2", 1)]
    assert invariants.commands(ledger) == ["K: write ('s1', 1) ran 2 times"]


def test_a_write_after_its_deadline_is_seen() -> None:
    ledger = Ledger()
    ledger.requests["s1", 1] = TakaroRequest("s1", 1, asked_s=1.0)
    ledger.executions = [Execution(11.5, "s1", "op", 1)]
    assert invariants.commands(ledger) == ["K: write s1 1 ran after 10.5 s"]


def test_two_responses_to_one_request_are_seen() -> None:
    ledger = Ledger()
    ledger.responses["r"] = 2
    assert invariants.commands(ledger) == ["K: request r: 2 responses"]


def a_request_that_ran_out(**how: Any) -> Ledger:
    ledger = Ledger()
    error = "Request timed out after 10000ms : executeConsoleCommand"
    ledger.requests["s1", 1] = TakaroRequest("s1", 1, asked_s=1.0, answered_s=11.0, error=error, **how)
    ledger.executions = [Execution(2.0, "s1", "op", 1)]
    return ledger


def test_a_request_without_an_answer_is_seen() -> None:
    assert invariants.answers(a_request_that_ran_out()) == [
        "A: write s1 1 got no answer within Takaro's time"
    ]
    assert len(invariants.answers(a_request_that_ran_out(closed_s=3.0))) == 1


def test_no_answer_is_expected_on_a_closed_socket() -> None:
    assert invariants.answers(a_request_that_ran_out(socket_open=False)) == []


def test_a_request_that_crossed_the_close_of_its_socket_needs_no_answer_but_must_not_run() -> None:
    ledger = a_request_that_ran_out(closed_s=1.1)
    assert invariants.answers(ledger) == [
        "A: write s1 1 crossed the close of its socket, and ran all the same"
    ]
    ledger.executions.clear()
    assert invariants.answers(ledger) == []


def test_a_changed_event_and_a_frame_out_of_place_are_seen() -> None:
    ledger = Ledger()
    ledger.arrive(an_arrival(1.0, 1)._replace(intact=False))
    ledger.stray = 1
    assert len(invariants.integrity(ledger)) == 2


def test_recovery_is_the_time_to_the_first_event_that_is_newer_than_the_fault() -> None:
    ledger = a_ledger(1, 2, 3)  # at 0.0, 0.1 and 0.2 s
    ledger.faults = [Fault("kill", 0.05, 0.05, {"s1": 2}), Fault("kill", 9.0, 9.0, {"s1": 3, "s2": 0})]
    first, *never = invariants.recoveries(ledger)
    assert first == pytest.approx(0.15)
    assert never == [math.inf, math.inf]


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(value) for value in range(1, 201)]
    assert [invariants.percentile(values, percent) for percent in (50, 99, 100)] == [100.0, 198.0, 200.0]
    assert invariants.percentile([3.0], 99) == 3.0


@pytest.mark.parametrize(
    "log",
    ["Traceback (most recent call last):", "Task exception was never retrieved", "token is hunter2-hunter2"],
)
def test_secrets_and_tracebacks_in_a_log_are_seen(log: str) -> None:
    assert len(invariants.hygiene("uplink", f"all is well\n{log}\n", ["hunter2-hunter2"])) == 1
    assert invariants.hygiene("uplink", "all is well\n", ["hunter2-hunter2"]) == []


def test_growth_beyond_the_limit_is_seen() -> None:
    base, allowed = {"fds": 20.0, "rss_mib": 60.0}, {"fds": 8.0, "rss_mib": 64.0, "used_mib": 1.0}
    assert invariants.bounded("uplink", base, {"fds": 28.0, "rss_mib": 100.0}, allowed) == []
    assert invariants.bounded("uplink", base, {"fds": 29.0}, allowed) == ["B: uplink: fds was 20 and is 29"]


def test_a_mark_is_read_back_and_shows_a_change() -> None:
    chance = random.Random(1)
    for number in range(50):
        text = marks.write("ev", "s1", number, "line", chance)
        assert marks.read(f"around {text} it") == marks.Mark("ev", "s1", number, "line", intact=True)
        changed = marks.read(text.replace(f" {number} ", f" {number + 1} "))
        assert changed and not changed.intact
    assert marks.read("dayz-relay: nothing happened for a while") is None
