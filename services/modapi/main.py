"""modapi: put together, run, stopped."""

import asyncio
import logging

from prometheus_client import CollectorRegistry

from services.modapi.app import make_app
from services.modapi.credentials import Credentials
from services.modapi.metrics import Metrics
from services.modapi.served import ServedInstance
from services.modapi.wakes import listen
from services.relay import logs, running
from services.relay.serving import Listener, admin_app, bind
from services.relay.settings import Settings
from services.relay.settings_values import is_loopback
from services.relay.store import Store

OPEN_DOOR_AFTER_S = 1.0

logger = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Serves the mods until SIGINT or SIGTERM. Raises ConfigError, StoreRefused."""
    logs.configure("modapi")
    running.run(serve(settings))


async def serve(settings: Settings) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    store = Store(running.store_url(settings), opened=False)
    door = bind(settings.modapi.host, settings.modapi.port, "modapi.port")
    admin = bind(settings.modapi.admin_host, settings.modapi.admin_port, "modapi.admin_port")
    try:
        instances = {
            instance.slug: ServedInstance(
                instance,
                store,
                metrics,
                logs.InstanceLogger(logger, instance.slug),
                settings.modapi.hold_polls_s,
            )
            for instance in settings.instances
        }
        credentials = Credentials(settings.instances, loopback_only=is_loopback(settings.modapi.host))
        logger.info("mods call %s:%d, %d instance(s)", *door.getsockname()[:2], len(instances))
        trusting = asyncio.create_task(running.trust(store))
        # The door opens without Redis too: a mod that registers is answered in any case.
        await asyncio.wait([trusting], timeout=OPEN_DOOR_AFTER_S)
        await running.until_stopped(
            running.ended(trusting),
            listen(store, {slug: instance.polls for slug, instance in instances.items()}),
            Listener.of(make_app(credentials, instances, metrics)).listen(door),
            Listener.of(admin_app(registry, lambda: running.not_ready(store))).listen(admin),
        )
    finally:
        await store.close()
        logger.info("stopped")
