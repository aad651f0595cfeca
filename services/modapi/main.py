"""modapi: put together, run, stopped."""

import asyncio
import contextlib
import logging
import os
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry

from services.modapi.admin import add_api
from services.modapi.admitted import Admitted
from services.modapi.app import make_app
from services.modapi.guard import StillThere
from services.modapi.metrics import Metrics
from services.modapi.page.routes import add_page
from services.modapi.wakes import listen
from services.relay import running
from services.relay.http.addresses import networks, place
from services.relay.http.doors import Door
from services.relay.http.ports import bind
from services.relay.http.serving import Listener, admin_app
from services.relay.http.tls import certificate_of
from services.relay.instances.directory import Directory
from services.relay.settings import Settings

OPEN_DOOR_AFTER_S = 1.0

logger = logging.getLogger(__name__)


def run(settings: Settings, config: Path | None = None) -> None:
    """Serves the mods until SIGINT or SIGTERM; follows `config`. Raises ConfigError, StoreRefused."""
    running.run(serve(settings, config))


async def serve(settings: Settings, config: Path | None = None) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    store = running.store_of(settings, metrics.service)
    door = bind(settings.modapi.host, settings.modapi.port, "modapi.port")
    certificate = certificate_of(settings.modapi)
    trusted = networks(settings.modapi.trusted_proxies)
    admin = bind(settings.modapi.admin_host, settings.modapi.admin_port, "modapi.admin_port")
    try:
        directory = Directory(settings, config, os.environ, store, metrics.service.reload_failed.set)
        admitted = Admitted(
            store,
            metrics,
            logger,
            settings.modapi.hold_polls_s,
            loopback_only=settings.modapi.loopback_only,
            limits=settings.limits,
            complete=directory.complete.is_set,
        )
        pages = admin_app(
            metrics.service.text,
            lambda: running.not_ready(store),
            lambda: {**running.about(store), **directory.about()},
        )
        add_api(pages, directory, store, settings.modapi.admin_token)
        live = add_page(pages, settings, directory, store, metrics)
        trusting = asyncio.create_task(running.trust(store))
        kept_going = partial(metrics.service.faults.kept_going, logger)
        watching = asyncio.create_task(kept_going(lambda: directory.watch(admitted.update)))
        # The door opens without Redis too: a mod of relay.toml that registers is answered in any case.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OPEN_DOOR_AFTER_S):
                await asyncio.wait([trusting])
                await directory.complete.wait()
        logger.info("mods call %s, servers: %d", place(*door.getsockname()[:2]), len(admitted.instances))
        await running.until_stopped(
            running.ended(trusting),
            running.ended(watching),
            kept_going(lambda: running.watch(store, metrics.service)),
            kept_going(metrics.service.watch_loop),
            kept_going(lambda: listen(store, admitted)),
            live.run(),
            Listener.of(
                make_app(admitted, metrics, trusted),
                Door(settings.limits, metrics.beyond, trusted),
                certificate,
            ).listen(door),
            Listener.of(StillThere(pages)).listen(admin),
        )
    finally:
        await store.close()
        logger.info("stopped")
