"""The admin port that both services have."""

import pytest
from fastapi import FastAPI

from services.relay.service.http.health import add_health
from tests.support.sse import AppClient


async def ready() -> str:
    return ""


async def no_metrics() -> bytes:
    return b""


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
    app = FastAPI(openapi_url=None)
    add_health(app, no_metrics, ready)
    app.mount("/api", FastAPI())
    async with AppClient(app, base_url="http://admin") as client:
        answer = await client.request(method, path)
    assert (answer.status_code, answer.json()) == (status, {"error": words})


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
async def test_a_head_request_is_answered_too(path: str) -> None:
    app = FastAPI(openapi_url=None)
    add_health(app, no_metrics, ready)
    app.mount("/", FastAPI())  # the page, which takes whatever is left
    async with AppClient(app, base_url="http://admin") as client:
        assert (await client.head(path)).status_code == 200
