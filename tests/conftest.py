"""What tests share: a real store, and a name for an instance that no other test uses."""

import os
import signal
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from services.relay.store.client import Store
from tests.support.redis_server import RedisServer, binaries

CALL_TIMEOUT_S = 20.0
"""For calls of tests that are not about time: a machine that tests may stand still for seconds."""

# How long one example takes says more about what else the machine does than about the code.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# A shell ignores Ctrl-C for what it runs in the background, and each process of the tests would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", params=["valkey", "redis"])
def redis_server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server of each kind that the relay is meant for; a missing one is skipped on a laptop, not in CI."""
    binary = binaries().get(request.param)
    if binary is None:
        if os.environ.get("CI"):
            pytest.fail("redis-server is not installed: run tests/install-packages")
        pytest.skip("redis-server is not installed: tests/install-packages installs it")
    server = RedisServer(binary)
    server.start()
    yield server
    server.remove()


@pytest.fixture
async def store(redis_server: RedisServer) -> AsyncIterator[Store]:
    store = Store(redis_server.url, call_timeout_s=CALL_TIMEOUT_S)
    yield store
    await store.close()


@pytest.fixture
def slug() -> str:
    return f"test-{uuid.uuid4().hex[:12]}"
