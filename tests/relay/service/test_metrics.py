"""The metrics of a service about the store and itself."""

import asyncio
import time
from contextlib import suppress

import pytest
from prometheus_client import CollectorRegistry

from services.relay.protocol.errors import StoreError
from services.relay.service import lifecycle
from services.relay.service.instance_series import ROWS_AT_ONCE, InstanceSeries, Series
from services.relay.service.metrics import ServiceMetrics
from services.relay.store.client import Store
from tests.support.redis_server import RedisServer, binaries
from tests.support.waiting import until


class MeasuredService:
    """The metrics of a service that watches a store."""

    def __init__(self, url: str) -> None:
        self.registry = CollectorRegistry()
        self.metrics = ServiceMetrics(self.registry, "modapi", InstanceSeries(()))
        self.store = Store(url, replicas=0, took=self.metrics.round_trip)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"dayz_relay_{name}", labels)


async def test_metrics_follow_each_change_of_the_store() -> None:
    server = RedisServer(binaries()["valkey"])
    await asyncio.to_thread(server.start)
    service = MeasuredService(server.url)
    watching = asyncio.create_task(lifecycle.watch(service.store, service.metrics, 0.05))
    try:
        await until(lambda: service.value("store_ready") == 1)
        assert service.value("store_aof_ok") == 1
        await until(lambda: (service.value("store_uptime_seconds") or 0) >= 1)
        assert service.value("store_memory_max_bytes") == 0
        assert (service.value("store_memory_used_bytes") or 0) > 100_000
        assert service.value("store_replicas") == service.value("store_replicas_wanted") == 0

        await service.store.send("CONFIG", "SET", "maxmemory", "1000000000")
        await until(lambda: service.value("store_memory_max_bytes") == 1_000_000_000)
        await service.store.send("CONFIG", "SET", "appendfsync", "everysec")
        await until(lambda: service.value("store_ready") == 0)
        (info,) = [
            sample
            for family in service.registry.collect()
            for sample in family.samples
            if sample.name == "dayz_relay_store_info"
        ]
        assert info.labels["appendfsync"] == "everysec"
        await service.store.send("CONFIG", "SET", "appendfsync", "always")
        await until(lambda: service.value("store_ready") == 1)

        await asyncio.to_thread(server.kill)
        await until(lambda: service.value("store_ready") == 0)
    finally:
        watching.cancel()
        await service.store.close()
        server.remove()


async def test_a_store_that_is_back_is_noticed_before_the_next_look_at_its_settings(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = RedisServer(binaries()["valkey"])
    await asyncio.to_thread(server.start)
    await asyncio.to_thread(server.kill)
    service = MeasuredService(server.url)
    watching = asyncio.create_task(lifecycle.watch(service.store, service.metrics, 3600.0))
    try:
        await until(lambda: "the store is away" in caplog.text)
        await asyncio.to_thread(server.start)
        await until(lambda: service.value("store_ready") == 1)
    finally:
        watching.cancel()
        await service.store.close()
        server.remove()


async def test_a_service_that_has_not_seen_the_store_yet_says_that_it_is_away_and_nothing_worse() -> None:
    service = MeasuredService("redis://127.0.0.1:1/0")
    assert service.value("store_ready") == 0
    assert service.value("store_aof_ok") == 1
    assert service.value("store_replicas") == service.value("store_replicas_wanted") == 0


async def test_round_trips_are_counted_by_outcome(store: Store) -> None:
    service = MeasuredService("redis://127.0.0.1:1/0")
    assert service.value("store_round_trip_seconds_count", outcome="ok") == 0
    with suppress(StoreError):
        await service.store.send("GET", "x")
    assert (service.value("store_round_trip_seconds_count", outcome="failed") or 0) >= 1
    await service.store.close()


async def test_a_loop_that_is_held_up_is_seen() -> None:
    service = MeasuredService("redis://127.0.0.1:1/0")
    watching = asyncio.create_task(service.metrics.watch_loop(every_s=0.25))
    await asyncio.sleep(0)  # it watches
    time.sleep(0.6)  # noqa: ASYNC251  # this is what it is about
    await until(lambda: (service.value("loop_lag_seconds_count") or 0) >= 1)
    assert (service.value("loop_lag_seconds_sum") or 0) > 0.2
    watching.cancel()


@pytest.mark.parametrize(("per_instance", "shown"), [(True, '{instance="one"} 3.0'), (False, "{} 3.0")])
async def test_the_page_has_the_series_of_the_service_and_of_its_instances(
    per_instance: bool, shown: str
) -> None:
    waiting = Series("waiting", "gauge", "What waits.", max)
    instances = InstanceSeries((waiting,), per_instance=per_instance)
    instances.row("one").set(waiting, 3.0)
    lines = (await ServiceMetrics(CollectorRegistry(), "uplink", instances).text()).decode().splitlines()
    assert f"waiting{shown}" in lines
    assert any(line.startswith('dayz_relay_build_info{python="3.') for line in lines)
    assert any(line.startswith("process_cpu_seconds_total ") for line in lines)


async def test_while_metrics_are_written_the_loop_does_other_work_between_the_pieces() -> None:
    waiting = Series("waiting", "gauge", "What waits.", max)
    instances = InstanceSeries((waiting,))
    for number in range(1_000):
        instances.row(f"server-{number}").set(waiting, 1.0)
    registry = CollectorRegistry()
    writing = asyncio.create_task(ServiceMetrics(registry, "uplink", instances).text())
    turns = 0
    while not writing.done():
        turns += 1
        await asyncio.sleep(0)
    families = sum(1 for _ in registry.collect())
    assert turns > families + 1_000 / ROWS_AT_ONCE
    assert (await writing).count(b"\nwaiting{") == 1_000


async def test_a_cluster_whose_map_changed_after_a_check_is_shown_as_not_ready() -> None:
    service = MeasuredService("redis+cluster://127.0.0.1:1")
    assert service.store.facts.servers == ()
    service.metrics.store_answered(service.store)
    assert service.value("store_ready") == 0
    await service.store.close()
