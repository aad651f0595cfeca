"""A hosting panel lives a server's whole life through the admin API, with nothing but its description."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from services.sim.dayz.generations import Generation
from services.sim.dayz.server import SimModConfig
from tests.flows.conftest import FlowWorld, Side, make_world
from tests.support.waiting import until
from tests.support.watched_dayz import WatchedDayz

TOKEN = "admin-token-of-the-panel-0123"


class OpenApiPanel:
    """Knows the calls by their operation ids, from the OpenAPI document alone."""

    def __init__(self, world: FlowWorld) -> None:
        self.world = world
        self._base = f"{world.relay.modapi.admin}/api/v1"
        self._client = httpx.AsyncClient(verify=False, timeout=60)
        self._calls: dict[str, tuple[str, str]] = {}

    async def read_description(self) -> None:
        described = (await self._client.get(f"{self._base}/openapi.json")).json()
        for path, verbs in described["paths"].items():
            for verb, call in verbs.items():
                self._calls[call["operationId"]] = verb, path

    async def call(
        self, operation: str, slug: str = "", body: dict[str, Any] | None = None, token: str = TOKEN
    ) -> httpx.Response:
        verb, path = self._calls[operation]
        url = self._base + path.replace("{slug}", slug)
        headers = {"authorization": f"Bearer {token}"}
        if verb == "post":
            headers["idempotency-key"] = self.word = uuid4().hex
        return await self._client.request(verb, url, json=body, headers=headers)

    async def get(self, operation: str, slug: str = "", body: dict[str, Any] | None = None) -> Any:
        answer = await self.call(operation, slug, body)
        assert answer.is_success, answer.text
        return answer.json()

    async def repeat(self, operation: str, slug: str, body: dict[str, Any]) -> Any:
        """The answer to the last call, sent again as if none had come."""
        verb, path = self._calls[operation]
        headers = {"authorization": f"Bearer {TOKEN}", "idempotency-key": self.word}
        url = self._base + path.replace("{slug}", slug)
        return (await self._client.request(verb, url, json=body, headers=headers)).json()

    async def until(self, slug: str, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The server, once it fits."""
        return await until(lambda: self.get("get_server", slug), met=fits)

    async def follow(
        self, operation: str, slug: str = "", last_id: str = ""
    ) -> AsyncIterator[dict[str, Any]]:
        """The messages of a stream: `id`, `event`, `data`."""
        _, path = self._calls[operation]
        headers = {"authorization": f"Bearer {TOKEN}", "accept": "text/event-stream"}
        if last_id:
            headers["last-event-id"] = last_id
        url = self._base + path.replace("{slug}", slug)
        async with self._client.stream("GET", url, headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            fields: dict[str, Any] = {}
            async for line in answer.aiter_lines():
                name, _, text = line.partition(": ")
                if line.startswith(":"):
                    continue
                if name:
                    fields[name] = json.loads(text) if name == "data" else text
                elif fields:
                    yield fields
                    fields = {}

    async def close(self) -> None:
        await self._client.aclose()


@pytest_asyncio.fixture
async def panel(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenApiPanel]:
    monkeypatch.setenv("RELAY_MODAPI__ADMIN_TOKEN", TOKEN)
    async for world in make_world({"solo": Generation.SCANNER}):
        made = OpenApiPanel(world)
        await made.read_description()
        yield made
        await made.close()


def mod_of(panel: OpenApiPanel, mod_config: str, identity: str) -> Side:
    """The game server with the file that the panel got; its address is this machine's."""
    written = json.loads(mod_config)
    path = written["TakaroApiUrl"].partition("/k/")[2]
    config = SimModConfig(
        f"{panel.world.relay.url}/k/{path}", written["RegistrationToken"], flush_s=0.05, poll_s=0.05
    )
    return Side(identity, WatchedDayz(config, Generation.SCANNER), panel.world.takaro)


async def first(
    messages: AsyncIterator[dict[str, Any]], fits: Callable[[dict[str, Any]], bool] = lambda _: True
) -> dict[str, Any]:
    """The first message that fits."""
    async with asyncio.timeout(60), aclosing(messages):  # type: ignore[type-var]  # a generator
        async for message in messages:
            if fits(message):
                return message
    raise AssertionError("the stream has ended")


async def test_a_panel_adds_a_server_sees_it_up_works_with_it_and_takes_it_away(panel: OpenApiPanel) -> None:
    new = {"slug": "late", "name": "Server late", "external_id": "order-17"}
    created = await panel.get("create_server", body=new)
    assert created["server"]["external_id"] == "order-17"
    down = await panel.until("late", lambda server: server["link"]["owner"] != "")
    assert (down["state"], down["cause"]) == ("down", "never_called")
    assert down["problems"][0]["code"] == "never_called" and down["problems"][0]["fix"]

    mod = mod_of(panel, created["mod_config"], created["identity_token"])
    mod.boot()
    try:
        up = await panel.until("late", lambda server: server["state"] == "up")
        assert up["link"]["state"] == "ready" and up["link"]["game_server_id"]
        mod.mod.log("the first line")
        line = await first(
            panel.follow("list_events", "late"), lambda one: one["data"]["state"] == "delivered"
        )
        assert line["data"]["data"]["msg"] == "the first line"
        mod.mod.log("the second line")
        line = await first(panel.follow("list_events", "late", line["id"]))
        assert line["data"]["data"]["msg"] == "the second line"
        message = {"text": "Restart in five minutes"}
        sent = await panel.get("send_message", "late", message)
        assert sent["state"] == "answered" and await panel.repeat("send_message", "late", message) == sent
        rotated = await panel.get("rotate_mod_key", "late", {"overlap_s": 3600})
        assert rotated["mod_key"] in rotated["mod_config"] and len(rotated["server"]["mod_keys"]) == 2
        again = await panel.call("rotate_mod_key", "late", {"overlap_s": 3600})
        assert (again.status_code, again.json()["code"]) == (409, "rotation_under_way")
        disabled = asyncio.create_task(
            first(
                panel.follow("stream_changes", last_id="0"),
                lambda one: one["data"].get("state") == "disabled",
            )
        )
        await panel.get("disable_server", "late")
        assert (await disabled)["data"]["slug"] == "late"
        off = await panel.until("late", lambda server: server["link"]["owner"] == "")
        assert (off["state"], off["served"]) == ("disabled", False)
        await panel.get("enable_server", "late")
        await panel.until("late", lambda server: server["state"] == "up")
    finally:
        await mod.shut()

    slugs = [server["slug"] for server in (await panel.get("list_servers"))["servers"]]
    assert slugs == ["late", "solo"] and (await panel.get("get_fleet"))["total"] == 2
    assert (await panel.call("delete_server", "late")).status_code == 204
    assert (await panel.call("get_server", "late")).json()["code"] == "server_not_found"


async def test_a_read_only_token_sees_all_and_changes_nothing(panel: OpenApiPanel) -> None:
    token = (await panel.get("create_token", body={"name": "viewer", "role": "read"}))["token"]
    assert (await panel.call("list_servers", token=token)).status_code == 200
    refused = await panel.call("disable_server", "solo", token=token)
    assert (refused.status_code, refused.json()["code"]) == (403, "read_only_token")
