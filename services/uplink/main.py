"""uplink: put together, run, stopped."""

import logging

from prometheus_client import CollectorRegistry

from services.relay import logs, running
from services.relay.serving import Listener, admin_app, bind
from services.relay.settings import Settings
from services.relay.store import Store
from services.uplink.fleet import Fleet
from services.uplink.metrics import Metrics

logger = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Links instances to Takaro until SIGINT or SIGTERM. Raises ConfigError, StoreRefused."""
    logs.configure("uplink")
    running.run(serve(settings))


async def serve(settings: Settings) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    store = Store(running.store_url(settings), opened=False)
    admin = bind(settings.uplink.admin_host, settings.uplink.admin_port, "uplink.admin_port")
    try:
        fleet = Fleet(settings.takaro.url, settings.uplink.reads_per_s, store, metrics)
        fleet.update({instance.slug: instance for instance in settings.instances})
        await running.until_stopped(
            running.trust(store),
            fleet.run(),
            Listener.of(admin_app(registry, lambda: running.not_ready(store))).listen(admin),
        )
    finally:
        await store.close()
        logger.info("stopped")
