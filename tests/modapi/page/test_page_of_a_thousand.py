"""The page of 1,000 servers in a browser, over a real socket and a real store, without mods and Takaro."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from playwright.async_api import expect
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.modapi.fleet.view import FleetView
from services.modapi.metrics import ModapiMetrics
from services.modapi.page.routes import add_page
from services.relay.instances.directory import Directory
from services.relay.instances.state import InstanceState, LinkInfo
from services.relay.protocol.keys import keys_of
from services.relay.service.http.listener import Listener
from services.relay.service.http.ports import bind
from services.relay.service.lifecycle import cancelled
from services.relay.service.settings import Instance, Settings
from services.relay.store.client import Store
from tests.support.browser import browser

SERVERS = 1_000
WITHIN_MS = 15_000


@asynccontextmanager
async def served(store: Store, slugs: list[str]) -> AsyncIterator[str]:
    """The page's address. Without an admin token: to this machine alone."""
    settings = Settings(
        instances=tuple(
            Instance(
                slug=slug,
                name=f"[EU] Chernarus {slug[-4:]}",
                identity_token=SecretStr(f"identity-{slug}"),
                registration_token=SecretStr("registration"),
                mod_keys=(SecretStr(f"mod-key-of-{slug}-0123456789"),),
            )
            for slug in slugs
        )
    )
    directory = Directory(settings, None, {}, store, lambda _: None)
    pages = FastAPI(openapi_url=None)
    metrics = ModapiMetrics(CollectorRegistry())
    view = FleetView(directory, store, settings.modapi, metrics.service.faults)
    live = add_page(pages, settings, view, store, metrics)
    port = bind("127.0.0.1", 0, "the test's port")
    listening = Listener.of(pages).listen(port)
    tasks = [asyncio.create_task(one) for one in (live.run(), directory.watch(lambda _: None), listening)]
    await directory.complete.wait()
    yield f"http://127.0.0.1:{port.getsockname()[1]}"
    for task in tasks:
        await cancelled(task)


async def populate(store: Store, slugs: list[str]) -> None:
    """As two uplinks and many mods would: most servers are well, each tenth has trouble."""
    now_ms = int(time.time() * 1000)
    for number, slug in enumerate(slugs):
        keys = keys_of(slug)
        silent_ms = 104_000 if number % 10 == 0 else 1_000
        store.send_unawaited("HSET", keys.lease, "token", "t", "uplink", f"relay-uplink-{number % 2}-a053b3")
        store.send_unawaited("SET", keys.contact, now_ms - silent_ms)
        store.send_unawaited("HSET", keys.mirror, "players", number % 60)
        store.send_unawaited("HSET", keys.mod, "version", "0.2.0", "hold_ms", 4700)
    await asyncio.gather(
        *(InstanceState(store, slug).write_link(LinkInfo("ready", "an-id-of-takaro")) for slug in slugs)
    )


async def test_a_thousand_servers_are_live_soon_and_fit_every_window(store: Store, slug: str) -> None:
    """SHOTS=folder keeps pictures, to be looked at."""
    slugs = [f"eu-{slug[-4:]}-{number:04d}" for number in range(SERVERS)]
    await populate(store, slugs)
    async with served(store, slugs) as address, browser() as context:
        page = await context.new_page()
        begun_s = time.monotonic()
        await page.goto(address)
        await expect(page.locator("#link")).to_have_text("live", timeout=WITHIN_MS)
        took_s = time.monotonic() - begun_s
        print(f"{took_s:.2f} s until the page of {SERVERS} servers was live")
        assert await page.title() == f"({SERVERS // 10}) Servers · dayz-relay"
        await page.locator("#tile-down").click()
        await expect(page.locator("tbody .badge.bad")).to_have_count(50, timeout=WITHIN_MS)
        await store.send("DEL", keys_of(slugs[1]).contact)
        await expect(page).to_have_title(f"({SERVERS // 10 + 1}) Servers · dayz-relay", timeout=WITHIN_MS)
        await page.locator("#tile-players").click()
        for width in (360, 861, 1024, 1100, 1280):
            await page.set_viewport_size({"width": width, "height": 800})
            wide, high = await page.evaluate(
                "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
            )
            print(f"{width} px wide: {high} px high")
            if folder := os.environ.get("SHOTS"):
                await page.screenshot(path=Path(folder) / f"thousand-{width}.png")
            assert wide <= width
