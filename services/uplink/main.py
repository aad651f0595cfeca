"""The service uplink: its parts are made, run and stopped here."""

import logging
import os
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from services.relay.instances.directory import Directory, instances
from services.relay.service import lifecycle
from services.relay.service.http.admin_ports import note
from services.relay.service.http.health import add_health
from services.relay.service.http.listener import Listener
from services.relay.service.http.ports import bind
from services.relay.service.settings import Settings
from services.uplink.connection.identify_turns import identify_turn
from services.uplink.context import UplinkContext
from services.uplink.ownership.fleet import Fleet
from services.uplink.ownership.removals import forget_removed
from services.uplink.reporting.alerts.sender import DEFAULT_TIMES, AlertSender, AlertTimes
from services.uplink.reporting.metrics import UplinkMetrics

logger = logging.getLogger(__name__)


def run(settings: Settings, config: Path | None = None) -> None:
    """Links instances to Takaro until told to stop; follows `config`. Raises ConfigError, StoreRefused."""
    lifecycle.run(serve(settings, config))


async def serve(
    settings: Settings, config: Path | None = None, alert_times: AlertTimes = DEFAULT_TIMES
) -> None:
    registry = CollectorRegistry()
    metrics = UplinkMetrics(registry, per_instance=settings.metrics.per_instance)
    metrics.service.run_by_up(os.environ)
    store = lifecycle.store_of(settings, metrics.service)
    admin = bind(settings.uplink.admin_host, settings.uplink.admin_port, "uplink.admin_port")
    try:
        context = UplinkContext(
            settings.takaro.url,
            store,
            metrics,
            partial(identify_turn, store),
            settings.uplink.reads_per_s,
            settings.limits,
            settings.takaro.proxy.get_secret_value() if settings.takaro.proxy else None,
        )
        logger.info("this uplink is %s", context.uplink)
        fleet = Fleet(context)
        directory = Directory(settings, config, os.environ, store, metrics.service.reload_failed.set)
        sender = AlertSender(
            settings.alerts, store, fleet.sightings, metrics.count_alert, metrics.service.faults, alert_times
        )
        keep_running = partial(metrics.service.faults.keep_running, logger)
        pages = Starlette()
        add_health(pages, metrics.service, store, lambda: {"uplink": context.uplink, **directory.about()})
        await lifecycle.until_stopped(
            lifecycle.trust(store),
            keep_running(lambda: lifecycle.watch(store, metrics.service)),
            keep_running(metrics.service.watch_loop),
            keep_running(lambda: note(store, "uplink", *admin.getsockname()[:2])),
            keep_running(lambda: directory.watch(lambda served: fleet.update(instances(served)))),
            keep_running(lambda: forget_removed(directory.registry)),
            fleet.run(),
            keep_running(sender.run),
            Listener(pages).listen(admin),
        )
    finally:
        await store.close()
        logger.info("stopped")
