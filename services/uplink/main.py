"""uplink: put together, run, stopped."""

import logging
import os
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry

from services.relay import running
from services.relay.http.ports import bind
from services.relay.http.serving import Listener, admin_app
from services.relay.instances.directory import Directory, instances
from services.relay.settings import Settings
from services.uplink.alerts.herald import Herald
from services.uplink.fleet import Fleet
from services.uplink.identify_turns import IdentifyTurns
from services.uplink.metrics import Metrics
from services.uplink.removals import forget_removed
from services.uplink.surroundings import Surroundings

logger = logging.getLogger(__name__)


def run(settings: Settings, config: Path | None = None) -> None:
    """Links instances to Takaro until told to stop; follows `config`. Raises ConfigError, StoreRefused."""
    running.run(serve(settings, config))


async def serve(settings: Settings, config: Path | None = None) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, per_instance=settings.metrics.per_instance)
    store = running.store_of(settings, metrics.service)
    admin = bind(settings.uplink.admin_host, settings.uplink.admin_port, "uplink.admin_port")
    try:
        surroundings = Surroundings(
            settings.takaro.url,
            store,
            metrics,
            IdentifyTurns(store),
            settings.uplink.reads_per_s,
            settings.limits,
            settings.takaro.proxy.get_secret_value() if settings.takaro.proxy else None,
        )
        logger.info("this uplink is %s", surroundings.uplink)
        fleet = Fleet(surroundings)
        directory = Directory(settings, config, os.environ, store, metrics.service.reload_failed.set)
        herald = Herald(settings.alerts, store, fleet.sightings, metrics.told, metrics.service.faults)
        kept_going = partial(metrics.service.faults.kept_going, logger)
        pages = admin_app(
            metrics.service.text,
            lambda: running.not_ready(store),
            lambda: {"uplink": surroundings.uplink, **running.about(store), **directory.about()},
        )
        await running.until_stopped(
            running.trust(store),
            kept_going(lambda: running.watch(store, metrics.service)),
            kept_going(metrics.service.watch_loop),
            kept_going(lambda: directory.watch(lambda served: fleet.update(instances(served)))),
            kept_going(lambda: forget_removed(directory.registry)),
            fleet.run(),
            kept_going(herald.run),
            Listener.of(pages).listen(admin),
        )
    finally:
        await store.close()
        logger.info("stopped")
