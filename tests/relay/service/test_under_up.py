"""What a service shows of `dayz-relay up`, which runs it."""

import math
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.relay.service.instance_series import InstanceSeries
from services.relay.service.metrics import ServiceMetrics
from services.relay.service.under_up import RESTARTS, STORE_FOLDER


def shown(environ: dict[str, str]) -> tuple[float, float]:
    """The restarts and the room on the disk."""
    registry = CollectorRegistry()
    ServiceMetrics(registry, "uplink", InstanceSeries(())).run_by_up(environ)
    names = "process_restarts_total", "store_disk_free_bytes"
    restarts, free = (registry.get_sample_value(f"dayz_relay_{name}") for name in names)
    assert restarts is not None and free is not None
    return restarts, free


def test_under_up_the_restarts_and_the_room_on_the_disk_of_its_store_are_shown(tmp_path: Path) -> None:
    restarts, free = shown({RESTARTS: "3", STORE_FOLDER: str(tmp_path)})
    assert restarts == 3
    assert free > 0


@pytest.mark.parametrize("environ", [{}, {RESTARTS: "some", STORE_FOLDER: "/nowhere/at/all"}])
def test_without_up_there_are_no_restarts_and_the_room_is_unknown(environ: dict[str, str]) -> None:
    restarts, free = shown(environ)
    assert restarts == 0
    assert math.isnan(free)
