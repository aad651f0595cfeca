"""The series of instances as Prometheus reads them: one for each instance, or one for all."""

import time
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.service.instance_series import ROWS_AT_ONCE, InstanceSeries, Series, earliest
from tests.support.series import shown

SEEN = Series("seen_timestamp_seconds", "gauge", "When it was seen.", earliest)
WAITING = Series("waiting", "gauge", "What waits.", max)
COUNTED = Series("counted_total", "counter", "What came.", None)
TOGETHER = Series("together", "gauge", "What is not told apart.", max, apart=False)
STATE = Series("state", "gauge", "The state it is in.", sum, "state")
TABLE = (SEEN, WAITING, COUNTED, TOGETHER, STATE)


def test_each_instance_has_its_own_series() -> None:
    series = InstanceSeries(TABLE)
    series.row("one").set(WAITING, 3)
    series.row("two").set(WAITING, 4)
    assert shown(series) == {
        ("waiting", "one", ""): 3,
        ("waiting", "two", ""): 4,
        ("counted_total", "one", ""): 0,
        ("counted_total", "two", ""): 0,
    }


def test_without_series_per_instance_all_instances_share_one() -> None:
    series = InstanceSeries(TABLE)
    series.row("one").set(TOGETHER, 3)
    series.row("two").set(TOGETHER, 4)
    assert [(key, value) for key, value in shown(series).items() if key[0] == "together"] == [
        (("together", "", ""), 4)
    ]


def test_a_counter_is_born_at_zero_and_counts_on() -> None:
    series = InstanceSeries(TABLE)
    counts = series.row("one").values[COUNTED]
    assert shown(series)["counted_total", "one", ""] == 0
    counts[""] += 2
    counts[""] += 3
    assert shown(series)["counted_total", "one", ""] == 5


def test_only_the_present_state_has_a_series() -> None:
    series = InstanceSeries(TABLE)
    row = series.row("one")
    row.set_only(STATE, "waiting")
    row.set_only(STATE, "ready")
    assert [key for key in shown(series) if key[0] == "state"] == [("state", "one", "ready")]


def test_instances_that_another_process_owns_or_that_are_gone_are_not_shown() -> None:
    series = InstanceSeries(TABLE)
    for slug in ("ours", "theirs", "gone"):
        series.row(slug).set(WAITING, 1)
    series.row("theirs").shown = lambda: False
    series.forget("gone")
    assert {instance for _, instance, _ in shown(series)} == {"ours"}


def test_counts_for_a_removed_instance_do_not_show_it_again() -> None:
    series = InstanceSeries(TABLE)
    counts = series.row("gone").values[COUNTED]
    series.forget("gone")
    counts[""] += 1
    assert shown(series) == {}


@pytest.mark.parametrize(
    ("metric", "values", "together"),
    [
        (SEEN, (200.0, 0.0, 100.0), 100.0),  # 0 is no moment
        (SEEN, (0.0, 0.0), 0.0),
        (WAITING, (1.0, 5.0, 3.0), 5.0),
    ],
)
def test_without_per_instance_series_all_instances_are_one(
    metric: Series, values: tuple[float, ...], together: float
) -> None:
    series = InstanceSeries((metric,), per_instance=False)
    for number, value in enumerate(values):
        series.row(f"server-{number}").set(metric, value)
    assert shown(series) == {(metric.name, "", ""): together}


def test_a_counter_that_would_fall_is_not_shown_for_all_together() -> None:
    series = InstanceSeries((COUNTED,), per_instance=False)
    series.row("one").values[COUNTED][""] += 1
    assert not list(series.pieces())


def test_without_series_per_instance_the_states_are_counted() -> None:
    series = InstanceSeries((STATE,), per_instance=False)
    for slug, state in (("one", "ready"), ("two", "refused"), ("three", "ready")):
        series.row(slug).set_only(STATE, state)
    assert shown(series) == {("state", "", "ready"): 2, ("state", "", "refused"): 1}


@given(
    st.dictionaries(st.from_regex(r"[a-z0-9-]{1,32}", fullmatch=True), st.floats(allow_nan=False), max_size=8)
)
def test_a_written_state_is_read_back(values: Mapping[str, float]) -> None:
    series = InstanceSeries((WAITING,))
    for slug, value in values.items():
        series.row(slug).set(WAITING, value)
    assert shown(series) == {("waiting", slug, ""): value for slug, value in values.items()}


def test_no_piece_of_the_text_takes_more_than_some_instances() -> None:
    """Between two pieces the loop does other work, with any number of instances."""
    series = InstanceSeries(TABLE)
    for number in range(4 * ROWS_AT_ONCE):
        row = series.row(f"server-{number}")
        row.set_only(STATE, "ready")
        for metric in (SEEN, WAITING, TOGETHER):
            row.set(metric, float(number))
    pieces = list(series.pieces())
    assert sum(piece.count("\n") for piece in pieces) == 4 * 4 * ROWS_AT_ONCE + 1 + 2 * len(TABLE)
    assert max(piece.count("\n") for piece in pieces) == ROWS_AT_ONCE
    assert len(pieces) == len(TABLE) * (1 + 4) + 1


def test_a_thousand_instances_take_little_cpu() -> None:
    series = InstanceSeries(TABLE)
    for number in range(1_000):
        row = series.row(f"server-{number}")
        row.set_only(STATE, "ready")
        for metric in (SEEN, WAITING):
            row.set(metric, 1_763_000_000.123 + number)
    begun_s = time.thread_time()
    text = "".join(series.pieces())
    assert text.count("\n") > 4_000
    assert time.thread_time() - begun_s < 0.1
