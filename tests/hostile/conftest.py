"""The hostile tests, marked by their folder: short in `make test`, with full numbers if HOSTILE=full."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.ports import free_port
from tests.support.relay_process import RelayProcess

NAMES = [f"good-{number}" for number in range(8)]
FULL = os.environ.get("HOSTILE") == "full"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.hostile)
            if FULL:
                item.add_marker(pytest.mark.timeout(1_800))


def key(name: str) -> str:
    return f"mod-key-of-{name}-0123456789"


def block(name: str) -> str:
    return (
        f'slug = "{name}"\nname = "Server {name}"\n'
        f'identity_token = "identity-of-{name}"\nmod_keys = ["{key(name)}"]\n'
    )


def limited(**limits: float) -> pytest.MarkDecorator:
    """Gives the relay of a test these limits, and otherwise the defaults."""
    return pytest.mark.parametrize(
        "relay", [limits], indirect=True, ids=["limited" if limits else "defaults"]
    )


@pytest.fixture
def many() -> bool:
    """Whether the test runs with full numbers."""
    return FULL


@pytest_asyncio.fixture
async def relay(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RelayProcess]:
    """A relay with a server named "bad" among good ones; there is no Takaro. `limited` changes its limits."""
    for name, value in getattr(request, "param", {}).items():
        monkeypatch.setenv(f"RELAY_LIMITS__{name.upper()}", str(value))
    made = RelayProcess(
        f"ws://127.0.0.1:{free_port()}/", [block(name) for name in (*NAMES, "bad")], "registration-token"
    )
    try:
        await made.start()
        yield made
    finally:
        await made.stop()


async def refused(relay: RelayProcess, limit: str) -> float:
    """How often modapi has refused something beyond this limit."""
    return (await relay.modapi.metrics()).get(f"dayz_relay_refused_total{{limit={limit}}}", 0.0)


def rss_kib(pid: int) -> int:
    """The resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))
