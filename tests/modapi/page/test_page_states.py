"""The page in a browser in each of its states: no serious finding of axe-core, nothing wider than the window.

SHOTS=folder keeps pictures of the states, to be looked at.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import BrowserContext, Page, expect

from services.relay.protocol.keys import keys_of
from services.relay.service.settings import Instance
from services.relay.store.client import Store
from tests.modapi.page import states
from tests.support.browser import browser
from tests.support.redis_server import RedisServer, binaries

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOOKS = [(1280, "light"), (390, "dark")]
"""Widths of the window and colours: each width and each colour once."""

SLUGS = [f"eu-{number:04d}" for number in range(1_000)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own_store() -> AsyncIterator[Store]:
    """A store that each test empties. What the page shows does not depend on the kind of server."""
    server = RedisServer(binaries()["valkey"])
    server.start()
    store = Store(server.url, call_timeout_s=20.0)
    yield store
    await store.close()
    server.remove()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[BrowserContext]:
    async with browser() as context:
        yield context


@pytest_asyncio.fixture(loop_scope="module")
async def page(chromium: BrowserContext, own_store: Store) -> AsyncIterator[Page]:
    await own_store.send("FLUSHALL")
    opened = await chromium.new_page()
    yield opened
    await opened.close()


async def open_live(page: Page, address: str) -> None:
    await page.goto(address)
    await expect(page.locator("#link")).to_have_text("live")


def _shortly(finding: dict[str, Any]) -> str:
    first = finding["nodes"][0]
    return f"{finding['id']} of {first['target']}: {first['failureSummary']}"


async def looks_well(page: Page, name: str) -> None:
    """Fails if axe-core has a serious finding, or the page is wider than the window."""
    for width, scheme in LOOKS:
        await page.set_viewport_size({"width": width, "height": 844})
        await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        if folder := os.environ.get("SHOTS"):
            await page.screenshot(path=Path(folder) / f"{name}-{width}-{scheme}.png", full_page=True)
        found = (await Axe().run(page)).response["violations"]
        serious = {one["id"]: one["nodes"] for one in found if one["impact"] in ("serious", "critical")}
        assert not serious, (width, scheme)


async def nothing(store: Store) -> list[Instance]:
    return []


async def one_is_busy(store: Store) -> list[Instance]:
    await states.a_busy_one(store, "livonia")
    return [states.instance("livonia")]


@pytest.mark.parametrize(
    ("name", "state", "path"),
    [
        ("three-up", states.three_up, "/"),
        ("problems", states.one_of_each_problem, "/"),
        ("server", one_is_busy, "/instance/livonia"),
        ("never-called", states.one_of_each_problem, "/instance/never-called"),
    ],
)
async def test_each_state_can_be_read_by_everybody(
    page: Page,
    own_store: Store,
    name: str,
    state: Callable[[Store], Awaitable[list[Instance]]],
    path: str,
) -> None:
    async with states.served(own_store, await state(own_store)) as address:
        await open_live(page, address + path)
        await page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        await looks_well(page, name)


@pytest.mark.parametrize("token", [None, states.TOKEN], ids=["first", "login"])
async def test_the_first_page_and_the_login_can_be_read_by_everybody(
    page: Page, own_store: Store, token: str | None
) -> None:
    async with states.served(own_store, [], token) as address:
        await page.goto(address)
        await expect(page.get_by_role("heading", level=1)).to_have_text(
            "Log in" if token else "Connect your first server"
        )
        await looks_well(page, "login" if token else "first")


async def test_a_page_that_lost_its_relay_can_be_read_by_everybody(page: Page, own_store: Store) -> None:
    async with states.served(own_store, await states.three_up(own_store)) as address:
        await open_live(page, address)
    await expect(page.locator("body")).to_have_class("stale")
    await looks_well(page, "gone")


async def test_a_form_is_sent_once_while_its_answer_is_awaited(page: Page, own_store: Store) -> None:
    await states.a_busy_one(own_store, "stored")
    await states.stored(own_store, "stored")
    async with states.served(own_store, []) as address:
        await page.goto(address + "/instance/stored")
        await page.fill("#say", "the server stops soon")
        assert await page.evaluate(_SENT_BY_TWO_CLICKS) == 1


_SENT_BY_TWO_CLICKS = """() => {
  let sent = 0;
  addEventListener("submit", (event) => {
    if (!event.defaultPrevented) sent++;
    event.preventDefault(); // the page stays, as while an answer is awaited
  });
  const button = document.querySelector("#say + button");
  button.click();
  button.click();
  return sent;
}"""


async def test_every_act_is_reached_by_keyboard_with_a_focus_that_is_seen(
    page: Page, own_store: Store
) -> None:
    await states.a_busy_one(own_store, "stored")
    await states.stored(own_store, "stored")
    async with states.served(own_store, []) as address:
        for path in ("/", "/instance/stored", "/add"):
            await page.goto(address + path)
            await page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
            left = await page.evaluate(_FOCUSABLE)
            for _ in range(len(left) + 1):
                await page.keyboard.press("Tab")
                reached, outline = await page.evaluate(_FOCUSED)
                if reached in left:
                    left.remove(reached)
                    assert outline >= 2, reached
            assert left == []


_NAME = """
const name = (one) => [one.tagName, one.id, one.textContent.trim().slice(0, 40)].join(" ");
"""
_FOCUSABLE = f"""() => {{{_NAME}
  const all = document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']");
  return [...all].filter((one) => one.checkVisibility() && one.type !== "hidden").map(name);
}}"""
_FOCUSED = f"""() => {{{_NAME}
  const one = document.activeElement;
  const style = getComputedStyle(one);
  return [name(one), style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth)];
}}"""


async def test_screen_readers_announce_only_real_changes(page: Page, own_store: Store) -> None:
    await states.a_busy_one(own_store, "livonia")
    async with states.served(own_store, [states.instance("livonia")]) as address:
        await open_live(page, f"{address}/instance/livonia")
        await page.evaluate(
            """() => { window.said = [];
            const seen = new MutationObserver((changes) => said.push(...changes.map((one) => one.type)));
            for (const one of document.querySelectorAll("[role=status], [role=alert], [aria-live]"))
              seen.observe(one, { childList: true, characterData: true, subtree: true }); }"""
        )
        await states.waits(own_store, "livonia", since_s=0)
        await expect(page.locator("#events tr")).to_have_count(7)
        assert await page.evaluate("said") == []


async def test_new_events_reach_the_open_page(page: Page, own_store: Store) -> None:
    async with states.served(own_store, await states.three_up(own_store)) as address:
        await open_live(page, f"{address}/instance/livonia")
        badge = page.locator("#facts .badge")
        for silent_s, word in ((10, "up"), (30, "attention"), (90, "down")):
            await states.is_up(own_store, "livonia", silent_s=silent_s)
            await expect(badge).to_have_text(word)
        await states.is_up(own_store, "livonia")
        await states.waits(own_store, "livonia", since_s=0)
        line = page.locator("#events tr", has_text="chat-message")
        await expect(line).to_contain_text("waiting for Takaro")


_TRANSFERRED = "performance.getEntries().reduce((sum, one) => sum + (one.transferSize || 0), 0)"
"""Bytes of the page and its assets as they came, with their heads."""


async def test_a_thousand_servers_are_live_and_fit_every_window(page: Page, own_store: Store) -> None:
    async with states.served(own_store, await states.a_thousand(own_store, SLUGS)) as address:
        await open_live(page, address)
        assert await page.title() == "(100) Servers · dayz-relay"
        transferred = await page.evaluate(_TRANSFERRED)
        async with httpx.AsyncClient(timeout=30) as client, client.stream("GET", f"{address}/live") as live:
            assert "event: fragment" in await anext(live.aiter_text())
            transferred += live.num_bytes_downloaded
        print(f"{transferred} bytes for the page of 1,000 servers, with its assets and the first changes")
        assert transferred <= 60_000
        await looks_well(page, "thousand")
        await page.locator("#tile-down").click()
        await expect(page.locator("tbody .badge.down")).to_have_count(50)
        await own_store.send("DEL", keys_of(SLUGS[1]).contact)
        await expect(page).to_have_title("(101) Servers · dayz-relay")
        await page.locator("#tile-players").click()
        for width in (360, 861, 1061, 1240, 1400):
            await page.set_viewport_size({"width": width, "height": 800})
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
