"""A relay without a mod and without Takaro, which the tests of one process share: modapi and its Redis."""

import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.relay.protocol.keys import (
    ADMIN_TOKENS,
    INSTANCES,
    INSTANCES_IDENTITIES,
    INSTANCES_REMOVALS,
    keys_of,
)
from services.relay.store.client import Store
from services.sim.ports import free_ports
from tests.support.redis_server import RedisServer, binaries
from tests.support.terminal import OURS, Terminal
from tests.support.waiting import until_other_processes

ROOT = Path(__file__).parents[2]
ADMIN_TOKEN = "admin-token-0123456789"
FILE_SLUGS = ("one", "two")
REMOVED = (INSTANCES, INSTANCES_IDENTITIES, INSTANCES_REMOVALS)
STARTS_WITHIN_S = 60.0

_RELAY_TOML = """\
[redis]
url = "{url}"
[takaro]
url = "ws://127.0.0.1:1/"
[modapi]
port = {port}
admin_port = {admin_port}
admin_token = "{token}"
[[instance]]
slug = "one"
name = "Server one"
identity_token = "identity-of-one-0123456789"
mod_keys = ["mod-key-of-one-0123456789"]
[[instance]]
slug = "two"
name = "Server \u6771\u4eac"
identity_token = "identity-of-two-0123456789"
registration_token = "a-registration-token"
mod_keys = ["mod-key-of-two-0123456789"]
"""


async def is_up(store: Store, slug: str) -> None:
    """Stores what is known of a server that is up, with one player whose name is hostile."""
    keys = keys_of(slug)
    await store.send("SET", keys.contact, int(time.time() * 1000))
    await store.send("HSET", keys.link, "state", "ready", "game_server_id", "an-id")
    await store.send("HSET", keys.lease, "token", "t", "uplink", "host-1")
    online = [{"gameId": "76561198000000001", "name": "Al\x1bice", "ping": 45}]
    place = {"x": 100.4, "y": 5, "z": 200.6}
    now = f"{time.time():.3f}"
    await store.send("HSET", keys.mirror, "online", f"{now} {json.dumps(online)}", "players", "1")
    await store.send("HSET", keys.mirror, "getPlayerLocation:76561198000000001", f"{now} {json.dumps(place)}")


class RelayTerminal(Terminal):
    """Commands that find the relay by the relay.toml of their folder."""

    def __init__(self, folder: Path, server: RedisServer) -> None:
        super().__init__(folder)
        self.client = httpx.Client(trust_env=False, timeout=60)
        self.server = server
        port, admin_port = free_ports(2)
        self.admin = f"http://127.0.0.1:{admin_port}"
        text = _RELAY_TOML.format(url=server.url, port=port, admin_port=admin_port, token=ADMIN_TOKEN)
        (folder / "relay.toml").write_text(text)
        (folder / "relay.toml").chmod(0o600)

    def argv(self, *words: str) -> list[str]:
        """The command as a process of its own."""
        return [sys.executable, "-m", "services.cli", *words]

    def fill(self, fill: Callable[[Store], Awaitable[object]]) -> None:
        """Puts what the services would have stored into Redis, and has modapi read all anew."""

        async def filled() -> None:
            store = Store(self.server.url, call_timeout_s=STARTS_WITHIN_S)
            await fill(store)
            await store.close()

        asyncio.run(filled())
        slug = f"for-a-moment-{uuid.uuid4().hex[:8]}"
        self.add(slug)
        self.remove(slug)

    def call(self, method: str, path: str, json: object = None) -> Any:
        headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
        answer = self.client.request(method, f"{self.admin}/api/v1{path}", json=json, headers=headers)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def add(self, slug: str) -> Any:
        added = self.call("POST", "/servers", {"slug": slug, "name": f"Server {slug}"})
        self._until(lambda slugs: slug in slugs)
        return added

    def remove(self, slug: str) -> None:
        self.call("DELETE", f"/servers/{slug}?purge=true")
        self._until(lambda slugs: slug not in slugs)

    def slugs(self) -> list[str]:
        return [one["slug"] for one in self.call("GET", "/servers?limit=1000")["servers"]]

    def _until(self, met: Callable[[list[str]], bool]) -> None:
        """modapi hears of a change a moment after the answer."""
        until_other_processes(lambda: met(self.slugs()), within_s=STARTS_WITHIN_S)

    def clear(self) -> None:
        """Takes away what earlier tests have left."""
        for slug in self.slugs():
            if slug not in FILE_SLUGS:
                self.remove(slug)

        async def empty(store: Store) -> None:
            for slug in FILE_SLUGS:
                await store.send("UNLINK", *astuple(keys_of(slug)))
            # No uplink deletes what removed servers have left.
            await store.send("UNLINK", "relay:unknown-keys", ADMIN_TOKENS, *REMOVED)

        self.fill(empty)


@pytest.fixture(scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayTerminal]:
    server = RedisServer(binaries()["valkey"])
    server.start()
    relay = RelayTerminal(tmp_path_factory.mktemp("relay"), server)
    environ = {name: text for name, text in os.environ.items() if not name.startswith(OURS)}
    with (relay.folder / "modapi.log").open("wb") as log:
        process = subprocess.Popen(
            relay.argv("modapi"),
            cwd=relay.folder,
            env={**environ, "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
        )
    try:
        until_other_processes(
            lambda: process.poll() is not None or _is_ready(relay.admin), within_s=STARTS_WITHIN_S
        )
        assert process.poll() is None, (relay.folder / "modapi.log").read_text()
        yield relay
    finally:
        relay.client.close()
        process.terminate()
        process.wait(60)
        server.remove()
    assert "Traceback" not in (relay.folder / "modapi.log").read_text()


def _is_ready(admin: str) -> bool:
    try:
        return httpx.get(f"{admin}/readyz").status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
def relay(_shared: RelayTerminal) -> RelayTerminal:
    """The relay with the servers of its relay.toml, of which nothing is known."""
    _shared.clear()
    return _shared
