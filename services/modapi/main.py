"""The service modapi: its parts are made, run and stopped here."""

import asyncio
import contextlib
import logging
import os
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services.modapi.admin.api import add_api
from services.modapi.admin.authentication import StillThere
from services.modapi.admin.context import AdminContext
from services.modapi.app import make_app
from services.modapi.metrics import ModapiMetrics
from services.modapi.page.routes import add_page
from services.modapi.served_instances import ServedInstances
from services.relay.instances.directory import Directory
from services.relay.service import lifecycle, under_up
from services.relay.service.http.addresses import host_and_port, networks
from services.relay.service.http.admin_ports import note
from services.relay.service.http.connection_limits import ConnectionLimits
from services.relay.service.http.health import add_health
from services.relay.service.http.listener import Listener, certificate_of
from services.relay.service.http.ports import bind
from services.relay.service.logs import hide
from services.relay.service.settings import Settings

LISTEN_AFTER_S = 1.0  # the mods' port opens after this time even if Redis has not answered

logger = logging.getLogger(__name__)


def run(settings: Settings, config: Path | None = None) -> None:
    """Serves the mods until SIGINT or SIGTERM; follows `config`. Raises ConfigError, StoreRefused."""
    lifecycle.run(serve(settings, config))


async def serve(settings: Settings, config: Path | None = None) -> None:
    registry = CollectorRegistry()
    metrics = ModapiMetrics(registry)
    metrics.service.run_by_up(os.environ)
    local_token = under_up.local_token(os.environ)
    hide("local token", [local_token])
    store = lifecycle.store_of(settings, metrics.service)
    mods_port = bind(settings.modapi.host, settings.modapi.port, "modapi.port")
    certificate = certificate_of(settings.modapi)
    trusted = networks(settings.modapi.trusted_proxies)
    admin = bind(settings.modapi.admin_host, settings.modapi.admin_port, "modapi.admin_port")
    try:
        directory = Directory(settings, config, os.environ, store, metrics.service.reload_failed.set)
        served_instances = ServedInstances(
            store,
            metrics,
            logger,
            settings.modapi,
            settings.limits,
            complete=directory.complete.is_set,
        )
        pages = FastAPI(openapi_url=None)
        add_health(pages, metrics.service, store, directory.about)
        context = AdminContext(directory, store, settings, metrics, local_token)
        add_api(pages, context)
        add_page(pages, context)
        trusting = asyncio.create_task(lifecycle.trust(store))
        keep_running = partial(metrics.service.faults.keep_running, logger)
        watching = asyncio.create_task(keep_running(lambda: directory.watch(served_instances.update)))
        # The port opens without Redis too: a mod of relay.toml that registers is always answered.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LISTEN_AFTER_S):
                await asyncio.wait([trusting])
                await directory.complete.wait()
        logger.info(
            "mods call %s, servers: %d",
            host_and_port(*mods_port.getsockname()[:2]),
            len(served_instances.instances),
        )
        await lifecycle.until_stopped(
            trusting,
            watching,
            keep_running(lambda: lifecycle.watch(store, metrics.service)),
            keep_running(metrics.service.watch_loop),
            keep_running(lambda: note(store, "modapi", *admin.getsockname()[:2])),
            keep_running(served_instances.listen),
            context.fleet.run(),
            Listener(
                make_app(served_instances, metrics, trusted),
                ConnectionLimits(settings.limits, metrics.beyond, trusted),
                certificate,
            ).listen(mods_port),
            Listener(StillThere(pages)).listen(admin),
        )
        await served_instances.write_notes()
    finally:
        await store.close()
        logger.info("stopped")
