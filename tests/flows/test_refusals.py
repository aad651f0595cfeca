"""What the relay will not work with, said in one line that holds the fix."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer, binaries


@pytest.mark.parametrize("service", ["modapi", "uplink"])
@pytest.mark.parametrize(
    ("setting", "value", "fix"),
    [("appendfsync", "everysec", "always"), ("maxmemory-policy", "allkeys-lru", "noeviction")],
)
async def test_a_redis_that_could_lose_events_is_refused(
    service: str, setting: str, value: str, fix: str, tmp_path: Path
) -> None:
    server = RedisServer(binaries()["valkey"], **{setting: value})
    await asyncio.to_thread(server.start)
    config = tmp_path / "relay.toml"
    config.write_text(
        f'[redis]\nurl = "{server.url}"\n[modapi]\nport = 0\nadmin_port = 0\n[uplink]\nadmin_port = 0\n'
        '[[instance]]\nslug = "one"\nname = "A server"\nidentity_token = "an-identity"\n'
    )
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.cli", service, "--config", str(config)),
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await asyncio.wait_for(process.communicate(), 30)
    finally:
        server.remove()
    assert process.returncode == 2
    assert f"{setting} {fix}" in said.decode() and "Traceback" not in said.decode()
