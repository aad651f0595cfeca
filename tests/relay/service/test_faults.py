"""A fault of our code ends only the work in which it happens."""

import asyncio
import logging

import pytest
from prometheus_client import CollectorRegistry

from services.relay.service.faults import FaultKind, OwnFaults
from services.relay.service.instance_series import InstanceSeries
from services.relay.service.lifecycle import cancelled
from services.relay.service.logs import InstanceLogger
from services.relay.service.metrics import ServiceMetrics
from tests.support.log_lines import without_repetitions

logger = logging.getLogger(__name__)


def fail() -> None:
    raise RuntimeError("by a fault of ours")


def test_a_fault_is_counted_each_time_and_logged_once_for_each_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    registry = CollectorRegistry()
    found = ServiceMetrics(registry, "uplink", InstanceSeries(())).faults
    with without_repetitions(caplog):
        for slug in ("one", "other", "one"):
            with found.contain(InstanceLogger(logger.name, slug), FaultKind.RESULT):
                fail()
    assert registry.get_sample_value("dayz_relay_faults_total", {"kind": "result"}) == 3
    assert registry.get_sample_value("dayz_relay_faults_total", {"kind": "loop"}) == 0
    assert [record.instance for record in caplog.records] == ["one", "other"]  # type: ignore[attr-defined]
    assert "in fail" in caplog.text and "by a fault of ours" in caplog.text


def test_different_faults_of_one_kind_are_both_logged(caplog: pytest.LogCaptureFixture) -> None:
    found = OwnFaults()
    with without_repetitions(caplog):
        for times in range(2):
            with found.contain(logger, FaultKind.FRAME):
                fail()
            with found.contain(logger, FaultKind.FRAME):
                raise ValueError(times)
    assert len(caplog.records) == 2


async def test_a_loop_begins_again_after_a_fault() -> None:
    begun, running = 0, asyncio.Event()

    async def loop() -> None:
        nonlocal begun
        begun += 1
        if begun < 3:
            fail()
        running.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(OwnFaults().keep_running(logger, loop, begin_again_s=0.0))
    await asyncio.wait_for(running.wait(), 30.0)
    assert begun == 3
    await cancelled(task)
    assert task.cancelled()
