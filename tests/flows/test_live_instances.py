"""Servers that come and go while the relay runs: by the API, by an edit of relay.toml, on every replica."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from services.sim.dayz.generations import Generation
from services.sim.dayz.server import SimModConfig
from tests.flows.conftest import FlowWorld, Side, block, key, make_world
from tests.support.ports import free_port
from tests.support.relay_process import Service
from tests.support.waiting import until
from tests.support.watched_dayz import WatchedDayz

TOKEN = "admin-token-of-the-flow-0123"
EVENTS = "gameserver/local/events"
WITHIN_S = 15.0
"""0.2 s on a quiet machine, and 1 s if the hint is lost; but the machine of a test may stand still."""


class HostingPanel:
    """A hosting panel: the API, and what a mod with a key hears."""

    def __init__(self, world: FlowWorld) -> None:
        self.world = world
        self._client = httpx.AsyncClient(verify=False, timeout=30)

    async def call(self, method: str, path: str = "", body: Any = None) -> Any:
        answer = await self._client.request(
            method,
            f"{self.world.relay.modapi.admin}/api/instances{path}",
            json=body,
            headers={"authorization": f"Bearer {TOKEN}"},
        )
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def add(self, slug: str) -> dict[str, Any]:
        body = {"slug": slug, "name": f"Server {slug}", "identity_token": f"identity-{slug}"}
        added: dict[str, Any] = await self.call("POST", "", body)
        return added

    async def opens(self, mod_key: str, url: str = "") -> bool:
        answer = await self._client.post(
            f"{url or self.world.relay.url}/k/{mod_key}/{EVENTS}", json={"events": []}
        )
        assert answer.status_code in (200, 401), answer.text
        return answer.status_code == 200

    async def until_opens(self, mod_key: str, opens: bool, url: str = "") -> None:
        """Waits until the key opens, or no longer does. Not without a pause: too many calls with a wrong key
        from one address are refused."""

        async def found() -> bool:
            await asyncio.sleep(0.1)
            return await self.opens(mod_key, url) is opens

        await until(found, WITHIN_S)

    async def close(self) -> None:
        await self._client.aclose()


@pytest_asyncio.fixture
async def panel(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HostingPanel]:
    monkeypatch.setenv("RELAY_MODAPI__ADMIN_TOKEN", TOKEN)
    async for world in make_world({"solo": Generation.SCANNER}):
        made = HostingPanel(world)
        yield made
        await made.close()


def side(panel: HostingPanel, slug: str, mod_key: str) -> Side:
    config = SimModConfig(f"{panel.world.relay.url}/k/{mod_key}", mod_key, flush_s=0.05, poll_s=0.05)
    return Side(slug, WatchedDayz(config, Generation.SCANNER), panel.world.takaro)


async def test_a_server_that_a_panel_adds_is_linked_and_served_without_a_restart(panel: HostingPanel) -> None:
    added = await panel.add("late")
    late = side(panel, "late", added["mod_key"])
    late.boot()
    try:
        await late.until(lambda: late.takaro.is_connected(late.identity), WITHIN_S)
        late.mod.log("the first line")
        await late.until(lambda: late.messages() == ["the first line"])
        shown = await panel.call("GET", "/late")
        assert (shown["link"], shown["origin"], shown["served"]) == ("ready", "redis", True)
    finally:
        await late.shut()


async def test_both_keys_open_during_a_rotation_and_the_third_ends_the_first(panel: HostingPanel) -> None:
    keys = [(await panel.add("late"))["mod_key"]]
    await panel.until_opens(keys[0], True)
    keys.append((await panel.call("POST", "/late/rotate"))["mod_key"])
    await panel.until_opens(keys[1], True)
    assert await panel.opens(keys[0])
    keys.append((await panel.call("POST", "/late/rotate", {"force": True}))["mod_key"])
    await panel.until_opens(keys[0], False)
    assert await panel.opens(keys[1]) and await panel.opens(keys[2])


async def test_a_disabled_server_is_let_go_and_comes_back(panel: HostingPanel) -> None:
    added = await panel.add("late")
    takaro = panel.world.takaro
    await takaro.wait_for(lambda: takaro.is_connected("identity-late"), WITHIN_S)
    await panel.call("PATCH", "/late", {"disabled": True})
    await panel.until_opens(added["mod_key"], False)
    await takaro.wait_for(lambda: not takaro.is_connected("identity-late"), WITHIN_S)
    await panel.call("PATCH", "/late", {"disabled": False})
    await panel.until_opens(added["mod_key"], True)
    await takaro.wait_for(lambda: takaro.is_connected("identity-late"), WITHIN_S)


async def test_a_held_poll_of_a_removed_server_is_let_go_and_its_socket_closed(panel: HostingPanel) -> None:
    added = await panel.add("late")
    takaro = panel.world.takaro
    await takaro.wait_for(lambda: takaro.is_connected("identity-late"), WITHIN_S)
    await panel.until_opens(added["mod_key"], True)
    url = f"{panel.world.relay.url}/k/{added['mod_key']}/gameserver/local/poll"
    async with httpx.AsyncClient(verify=False, timeout=30) as mod:
        poll = asyncio.create_task(mod.get(url))
        await asyncio.sleep(0.2)  # by then it is held; modapi does not tell
        await panel.call("DELETE", "/late?purge=true")
        assert (await asyncio.wait_for(poll, WITHIN_S)).json() == {"operations": []}
        assert (await mod.get(url)).status_code == 401
    await takaro.wait_for(lambda: not takaro.is_connected("identity-late"), WITHIN_S)
    assert "[late] not served any more" in panel.world.relay.uplink.log
    solo = panel.world.side("solo")
    assert solo.takaro.is_connected(solo.identity)


async def test_an_edit_of_relay_toml_adds_and_removes_servers(panel: HostingPanel) -> None:
    config, takaro = panel.world.relay.folder / "relay.toml", panel.world.takaro
    before = config.read_text()
    config.write_text(f"{before}\n[[instance]]\n{block('typed')}")
    await panel.until_opens(key("typed"), True)
    await takaro.wait_for(lambda: takaro.is_connected("identity-typed"), WITHIN_S)
    config.write_text(f"{before}\n[[instance]\n")  # wrong: nothing changes
    failed = "dayz_relay_config_reload_failed"
    await until(panel.world.relay.modapi.metrics, WITHIN_S, met=lambda metrics: metrics[failed] == 1)
    assert await panel.opens(key("typed"))
    config.write_text(before)
    await panel.until_opens(key("typed"), False)
    await takaro.wait_for(lambda: not takaro.is_connected("identity-typed"), WITHIN_S)
    assert (await panel.world.relay.modapi.metrics())[failed] == 0


async def test_every_replica_follows(panel: HostingPanel) -> None:
    relay = panel.world.relay
    port, admin_port = free_port(), free_port()
    config = relay.folder / "second.toml"
    text = (relay.folder / "relay.toml").read_text()
    own = relay.modapi.admin.rpartition(":")[2]
    config.write_text(
        text.replace(f"= {relay.port}\n", f"= {port}\n").replace(f"= {own}\n", f"= {admin_port}\n")
    )
    second = Service("modapi", config, admin_port, label="modapi-2")
    await second.start()
    try:
        other = f"http://127.0.0.1:{port}"
        first = (await panel.add("late"))["mod_key"]
        await panel.until_opens(first, True, other)
        await panel.until_opens(first, True)
        await panel.call("POST", "/late/rotate", {"overlap_s": 0})
        await panel.until_opens(first, False, other)
        await panel.until_opens(first, False)
    finally:
        assert await second.stop() == 0
