"""modapi behind a port of its own, in the process of the test."""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.modapi.app import make_app
from services.modapi.main import logger
from services.modapi.metrics import ModapiMetrics
from services.modapi.served_instances import ServedInstances
from services.relay.instances.definitions import merge
from services.relay.protocol.limits import DEFAULT_LIMITS, Limits
from services.relay.service.http.addresses import Network
from services.relay.service.http.connection_limits import ConnectionLimits
from services.relay.service.http.listener import Listener
from services.relay.service.http.ports import bind
from services.relay.service.settings import Instance, ModApi
from services.relay.store.client import Store
from services.relay.store.event_stream import EventStream
from tests.support.ages import just_now

UNHELD = ModApi(hold_polls_s=0.0)


def an_instance(slug: str, *mod_keys: str, **settings: Any) -> Instance:
    return Instance(
        slug=slug,
        name="A server",
        identity_token=SecretStr(f"identity-{slug}"),
        mod_keys=tuple(map(SecretStr, mod_keys)),
        **settings,
    )


class ModapiPort:
    """The mods' port for `instances`. Without `limits` it takes any number of connections."""

    def __init__(
        self,
        store: Store,
        *instances: Instance,
        settings: ModApi = UNHELD,
        limits: Limits | None = None,
        trusted: Sequence[Network] = (),
    ) -> None:
        self.store = store
        self.registry = CollectorRegistry()
        metrics = ModapiMetrics(self.registry)
        self.served_instances = ServedInstances(store, metrics, logger, settings, limits or DEFAULT_LIMITS)
        self.serve(*instances)
        self.app = make_app(self.served_instances, metrics, trusted)
        sock = bind("127.0.0.1", 0, "modapi.port")
        self.port: int = sock.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        connections = ConnectionLimits(limits, metrics.beyond, trusted) if limits else None
        self.serving = asyncio.create_task(Listener(self.app, connections).listen(sock))

    def serve(self, *instances: Instance) -> None:
        """These are served from now on."""
        self.served_instances.update(merge(instances, {}, just_now))

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        # verify=False: to load the certificates of the machine for a plain http:// takes 20 ms of CPU.
        async with httpx.AsyncClient(base_url=self.url, timeout=30, verify=False) as client:
            return await client.request(method, path, **more)

    async def stored(self, slug: str) -> list[Any]:
        return [e for entry in await EventStream(self.store, slug).read("", 100) for e in entry.events]

    def count(self, metric: str, **labels: str) -> float:
        return self.registry.get_sample_value(metric, labels) or 0.0
