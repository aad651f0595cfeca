"""schemathesis calls both ports in every way that their descriptions allow: no answer is a 5xx, has another
shape or an empty body."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import ignored_auth

from tests.hostile.conftest import FULL, block, key
from tests.support.ports import free_port
from tests.support.relay_process import RelayProcess

ADMIN_TOKEN = "admin-token-of-the-fuzzer-0123"

THOROUGH = settings(
    max_examples=400 if FULL else 15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
    derandomize=not FULL,
)

ADMIN_CALLS = [
    ("GET", "/servers"),
    ("POST", "/servers"),
    ("GET", "/servers/{slug}"),
    ("PATCH", "/servers/{slug}"),
    ("DELETE", "/servers/{slug}"),
    ("POST", "/servers/{slug}/rotate"),
    ("POST", "/servers/{slug}/enable"),
    ("POST", "/servers/{slug}/disable"),
    ("GET", "/servers/{slug}/mod-config"),
    ("GET", "/servers/{slug}/players"),
    ("GET", "/servers/{slug}/events"),
    ("GET", "/servers/{slug}/commands"),
    ("POST", "/servers/{slug}/messages"),
    ("GET", "/servers/{slug}/minutes"),
    ("GET", "/servers/{slug}/half-hours"),
    ("GET", "/servers/{slug}/dead-letters"),
    ("DELETE", "/servers/{slug}/dead-letters"),
    ("POST", "/servers/{slug}/dead-letters/retry"),
    ("GET", "/servers/{slug}/dead-letters/{id}"),
    ("DELETE", "/servers/{slug}/dead-letters/{id}"),
    ("POST", "/servers/{slug}/dead-letters/{id}/retry"),
    ("GET", "/fleet"),
    ("GET", "/players"),
    ("GET", "/stream"),
    ("GET", "/relay"),
    ("GET", "/tokens"),
    ("POST", "/tokens"),
    ("DELETE", "/tokens/{name}"),
]
BASE = "/k/{key}/gameserver"
MOD_CALLS = [
    ("POST", f"{BASE}/register"),
    ("POST", f"{BASE}/{{id}}/events"),
    ("GET", f"{BASE}/{{id}}/poll"),
    ("POST", f"{BASE}/{{id}}/operation/{{operation}}/result"),
]


@pytest.fixture(scope="module")
def served() -> Iterator[RelayProcess]:
    """A relay in its own event loop and thread, because schemathesis calls it without one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    patch = pytest.MonkeyPatch()
    patch.setenv("RELAY_MODAPI__ADMIN_TOKEN", ADMIN_TOKEN)
    patch.setenv("RELAY_MODAPI__HOLD_POLLS_S", "0")
    for limit in ("REQUESTS_PER_S", "EVENTS_PER_S"):
        patch.setenv(f"RELAY_LIMITS__{limit}", "100000")
    relay = RelayProcess(f"ws://127.0.0.1:{free_port()}/", [block("main")], "registration-token")
    try:
        run(relay.start())
        yield relay
        assert "Traceback" not in relay.modapi.log
    finally:
        run(relay.stop())
        patch.undo()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def call_with_everything(schema: Any, method: str, path: str, url: str, **more: Any) -> None:
    operation = schema[path][method]

    @THOROUGH
    @given(operation.as_strategy())
    def one(case: Any) -> None:
        with contextlib.suppress(httpx.InvalidURL):
            if path == "/stream":  # it never ends
                request = case.as_transport_kwargs(base_url=url, **more)
                with requests.request(**request, timeout=20, stream=True) as opened:
                    kind = "text/event-stream" if opened.ok else "application/problem+json"
                    assert opened.status_code < 500 and opened.headers["content-type"].startswith(kind)
                return
            answer = case.call(base_url=url, timeout=20, **more)
            # With `headers` we send the token ourselves. Other tests check that calls without it are refused.
            case.validate_response(answer, excluded_checks=[ignored_auth])
            assert answer.status_code < 500, answer.text
            assert answer.content or answer.status_code == 204

    one()


@pytest.mark.parametrize(("method", "path"), ADMIN_CALLS)
def test_the_admin_api_answers_as_it_is_described(served: RelayProcess, method: str, path: str) -> None:
    described = httpx.get(f"{served.modapi.admin}/api/v1/openapi.json", timeout=30).json()
    assert {(verb.upper(), where) for where, verbs in described["paths"].items() for verb in verbs} == set(
        ADMIN_CALLS
    )
    schema = schemathesis.openapi.from_dict(described)
    headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
    call_with_everything(schema, method, path, f"{served.modapi.admin}/api/v1", headers=headers)


@pytest.mark.parametrize(("method", "path"), MOD_CALLS)
def test_the_mods_port_answers_as_it_is_described(served: RelayProcess, method: str, path: str) -> None:
    text = Path(__file__).with_name("mod_port.json").read_text().replace('"KEY"', f'"{key("main")}"')
    call_with_everything(schemathesis.openapi.from_dict(json.loads(text)), method, path, served.url)
