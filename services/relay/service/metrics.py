"""The metrics of both services: their build, their loop, and the store as they see it."""

import asyncio
import math
import platform
import time
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, generate_latest

from services.relay.protocol.limits import LIMIT_LABELS
from services.relay.service import under_up
from services.relay.service.clocks import TIMER_EARLY_S, next_shared_s
from services.relay.service.faults import FaultKind, OwnFaults
from services.relay.service.instance_series import InstanceSeries
from services.relay.service.metric_table import MetricTable, counter, gauge, histogram
from services.relay.store.client import Store
from services.relay.store.durability import STORE_LABELS

MEASURE_EVERY_S = 1.0
LAGS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
ROUND_TRIPS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
OUTCOMES = ("ok", "failed")


class _OneFamily(NamedTuple):
    family: Metric

    def collect(self) -> Iterable[Metric]:
        return (self.family,)


class ServiceMetrics(MetricTable):
    build = gauge("dayz_relay_build_info", "1: the running version.", service=(), version=(), python=())
    loop_lag = histogram(
        "dayz_relay_loop_lag_seconds",
        "Delay of a timer that fires once a second: how long the event loop was held up.",
        LAGS_S,
    )
    reload_failed = gauge(
        "dayz_relay_config_reload_failed",
        "1: relay.toml was changed and is wrong, the settings from before are in force.",
    )
    round_trips = histogram(
        "dayz_relay_store_round_trip_seconds",
        "Round trips of pipelines to Redis, its sync to the disk included; `failed`: no answer came.",
        ROUND_TRIPS_S,
        outcome=OUTCOMES,
    )
    store_info = gauge(
        "dayz_relay_store_info",
        "1, with the kind and settings of the store as labels, and how many replicas a batch waits for.",
        **dict.fromkeys(STORE_LABELS, ()),
    )
    store_ready = gauge(
        "dayz_relay_store_ready",
        "1: Redis answers, its settings lose nothing, its replicas are there. 0: no event is accepted.",
    )
    store_memory = gauge("dayz_relay_store_memory_used_bytes", "Memory of the fullest primary.")
    store_memory_max = gauge("dayz_relay_store_memory_max_bytes", "Its maxmemory; 0: no limit.")
    store_aof_ok = gauge(
        "dayz_relay_store_aof_ok",
        "0: the last write of a primary to its append-only file failed, as far as this process has seen.",
    )
    store_uptime = gauge(
        "dayz_relay_store_uptime_seconds",
        "How long Redis has been running: the primary that was started last.",
    )
    store_disk_free = gauge(
        "dayz_relay_store_disk_free_bytes",
        "Room on the disk of the store that `dayz-relay up` brings along; NaN for any other store.",
    )
    restarts = counter(
        "dayz_relay_process_restarts_total",
        "Times that `dayz-relay up` has started this process again after it had ended by itself.",
    )
    store_replicas = gauge("dayz_relay_store_replicas", "Connected replicas of the primary with the fewest.")
    store_replicas_wanted = gauge("dayz_relay_store_replicas_wanted", "Replicas that a batch waits for.")
    refused = counter(
        "dayz_relay_refused_total",
        "Requests, events and data refused, cut or dropped at a limit, by its setting under [limits].",
        limit=LIMIT_LABELS,
    )
    caught = counter(
        "dayz_relay_faults_total",
        "Unexpected exceptions, by the work that raised them. Other work goes on.",
        kind=FaultKind,
    )

    def __init__(self, registry: CollectorRegistry, service: str, instances: InstanceSeries) -> None:
        super().__init__(registry)
        self._registry = registry
        self._instances = instances
        ProcessCollector(registry=registry)
        self.build.labels(service, version("dayz-relay"), platform.python_version()).set(1)
        self.store_aof_ok.set(1)
        self.store_disk_free.set(math.nan)
        self.faults = OwnFaults(lambda kind: self.caught.labels(kind).inc())
        self._took = {outcome: self.round_trips.labels(outcome) for outcome in OUTCOMES}

    async def text(self) -> bytes:
        """All series in the text format. It is written in pieces; between two, the loop does other work."""
        written = []
        for piece in self._pieces():
            written.append(piece)
            await asyncio.sleep(0)
        return "".join(written).encode()

    def _pieces(self) -> Iterator[str]:
        for family in self._registry.collect():
            yield generate_latest(_OneFamily(family)).decode()
        yield from self._instances.pieces()

    def run_by_up(self, environ: Mapping[str, str]) -> None:
        """Shows what `dayz-relay up`, if it runs this process, tells in the environment."""
        self.restarts.inc(under_up.restarts(environ))
        self.store_disk_free.set_function(lambda: under_up.store_disk_free_bytes(environ))

    def beyond(self, limit: str) -> None:
        self.refused.labels(limit).inc()

    def round_trip(self, took_s: float, ok: bool) -> None:
        """A pipeline came back, or was given up."""
        self._took[OUTCOMES[not ok]].observe(took_s)

    def store_answered(self, store: Store) -> None:
        """The store was asked, and has answered. If a cluster's map has changed since, nothing is known."""
        facts = store.facts
        servers = facts.servers
        if not servers:
            self.store_ready.set(0)
            return
        self.store_info.clear()
        self.store_info.labels(**facts.labels()).set(1)
        self.store_ready.set(not (facts.refusals() or facts.shortage()))
        fullest = max(servers, key=lambda one: one.fullness)
        self.store_memory.set(fullest.memory_bytes)
        self.store_memory_max.set(fullest.max_memory_bytes)
        self.store_aof_ok.set(all(one.aof_ok for one in servers))
        self.store_uptime.set(min(one.uptime_s for one in servers))
        self.store_replicas.set(min(one.replicas for one in servers))
        self.store_replicas_wanted.set(facts.replicas)

    async def watch_loop(self, every_s: float = MEASURE_EVERY_S) -> None:
        """Never returns. Measures between the moments that periodic work shares, to leave that work out."""
        while True:
            asked_s = time.monotonic()
            wait_s = next_shared_s(asked_s, every_s, offset_s=every_s / 4) - asked_s + TIMER_EARLY_S
            await asyncio.sleep(wait_s)
            self.loop_lag.observe(max(0.0, time.monotonic() - asked_s - wait_s))
