"""The admin port that both services have."""

import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services.relay.service.http.health import add_health
from services.relay.service.instance_series import InstanceSeries
from services.relay.service.metrics import ServiceMetrics
from services.relay.store.client import Store
from tests.support.sse import AppClient


class ReadyStore(Store):
    async def ping(self) -> None:
        pass


def app_with_health() -> FastAPI:
    app = FastAPI(openapi_url=None)
    metrics = ServiceMetrics(CollectorRegistry(), "uplink", InstanceSeries(()))
    add_health(app, metrics, ReadyStore("redis://127.0.0.1", opened=False), dict)
    return app


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/nothing", 404, "Not Found"),
        ("GET", "/api/instances/a%0Ab", 404, "Not Found"),  # a line break, which no mount takes
        ("POST", "/livez", 405, "Method Not Allowed"),
    ],
)
async def test_an_unknown_path_is_answered_like_every_other(
    method: str, path: str, status: int, words: str
) -> None:
    app = app_with_health()
    app.mount("/api", FastAPI())
    async with AppClient(app, base_url="http://admin") as client:
        answer = await client.request(method, path)
    assert (answer.status_code, answer.json()) == (status, {"error": words})


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
async def test_a_head_request_is_answered_too(path: str) -> None:
    app = app_with_health()
    app.mount("/", FastAPI())  # the page, which takes whatever is left
    async with AppClient(app, base_url="http://admin") as client:
        assert (await client.head(path)).status_code == 200
