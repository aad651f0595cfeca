"""A step of Redis' clock is logged once, whichever instance sees it."""

import logging

import pytest
from prometheus_client import CollectorRegistry

from services.relay.store.clock import ClockStep
from services.uplink.reporting.clock_steps import ClockSteps
from services.uplink.reporting.metrics import UplinkMetrics

DAY_MS = 86_400_000


def test_each_step_is_logged_and_counted_once_for_all_instances(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    registry = CollectorRegistry()
    steps, metrics = ClockSteps(), UplinkMetrics(registry)
    for ahead_days, now_s in ((8, 100), (16, 103), (8, 106)):
        for instance in range(5):
            shown_ms = ahead_days * DAY_MS + now_s * 1000
            size_ms = 8 * DAY_MS if now_s < 106 else -8 * DAY_MS
            steps.saw(
                ClockStep(shown_ms - size_ms, shown_ms + instance, 0), metrics, now_s + instance * 0.001
            )
    said = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert said == [
        "Redis' clock was set forward by 8 d",
        "Redis' clock was set forward by 8 d",
        "Redis' clock was set back by 8 d",
    ]
    name = "dayz_relay_store_clock_steps_total"
    assert [registry.get_sample_value(name, {"direction": way}) for way in ("forward", "back")] == [2, 1]


def test_a_small_step_back_after_one_forward_is_counted_once() -> None:
    registry = CollectorRegistry()
    steps, metrics = ClockSteps(), UplinkMetrics(registry)
    for ahead_ms, size_ms, now_s in ((3_000, 3_000, 100), (0, -3_000, 200)):
        after_ms = now_s * 1000 + ahead_ms
        for reply_took_s in (0.0, 0.9):
            steps.saw(ClockStep(after_ms - size_ms, after_ms, 0), metrics, now_s + reply_took_s)
    name = "dayz_relay_store_clock_steps_total"
    assert [registry.get_sample_value(name, {"direction": way}) for way in ("forward", "back")] == [1, 1]


def test_a_step_forward_that_may_be_passed_time_is_logged_and_not_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    registry = CollectorRegistry()
    ClockSteps().saw(ClockStep(0, 8 * DAY_MS, None), UplinkMetrics(registry), 5.0)
    assert "cannot tell whether so much time has passed" in caplog.text
    name = "dayz_relay_store_clock_steps_total"
    assert registry.get_sample_value(name, {"direction": "forward"}) == 0
