"""The status page of a running relay in a browser: live, without foreign scripts, with forms that work."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Locator, Page, expect

from services.relay.protocol.vocabulary import Action, EventType
from services.relay.service.http.listener import STOP_WITHIN_S
from services.sim.dayz.generations import Generation
from services.sim.dayz.world import Player, make_player
from services.sim.takaro import requests
from tests.flows.conftest import FlowWorld, Side, key, make_world
from tests.support.browser import browser
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = "admin-token-of-the-page-0123"
LATER = "by_ms => { const now = Date.now; Date.now = () => now() + by_ms }"
"""Sets the clock of a page forward."""
COUNTS_SIGNS_OF_LIFE = """
[window.alive, window.looks] = [0, 0];
const now = Date.now, Source = EventSource;
Date.now = () => { window.looks += 1; return now() };
window.EventSource = class extends Source {
  constructor(address) { super(address); this.addEventListener("alive", () => { window.alive += 1 }); }
};
"""
"""Run before a page's own script: counts what the server sends without news, and looks at the clock."""
HOSTILE = "<img src=x onerror='document.title=1'></td><script>document.title=2</script> \u202egnirts"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded() -> AsyncIterator[FlowWorld]:
    """Two instances behind a page with a token."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RELAY_MODAPI__ADMIN_TOKEN", TOKEN)
        async for made in make_world({"solo": Generation.SCANNER, "other": Generation.FLAT}):
            yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[BrowserContext]:
    async with browser() as context:
        yield context


@pytest.fixture
def side(guarded: FlowWorld) -> Side:
    return guarded.side("solo")


@pytest.fixture
def complaints() -> list[str]:
    """What the browser logs. A test fails if anything is left at its end."""
    return []


@pytest_asyncio.fixture(loop_scope="module")
async def page(guarded: FlowWorld, chromium: BrowserContext, complaints: list[str]) -> AsyncIterator[Page]:
    """Logged in, in front of the fleet."""
    await chromium.clear_cookies()
    opened = await chromium.new_page()
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    await opened.goto(f"{guarded.relay.modapi.admin}/")
    await opened.get_by_label("Admin token").fill(TOKEN)
    await opened.get_by_role("button", name="Log in").click()
    await expect(opened.locator("#link")).to_have_text("live")
    yield opened
    await opened.close()
    assert complaints == []


async def visit(page: Page, slug: str) -> None:
    await page.locator(f"#of-{slug}").click()
    await expect(page.locator("#link")).to_have_text("live")


async def in_view(page: Page, what: Locator) -> bool:
    """Whether all of it can be seen without scrolling. Playwright's "visible" does not say that."""
    box = await what.bounding_box()
    height = await page.evaluate("innerHeight")
    return box is not None and box["y"] >= 0 and box["y"] + box["height"] <= height


def person(number: int, name: str = "") -> Player:
    made = make_player(800_000 + number)
    made.name = name or made.name
    return made


async def join(side: Side, player: Player) -> None:
    """Joins after the relay has asked who is online, as it does for Takaro every 30 s."""
    await side.takaro.request(side.identity, Action.GET_PLAYERS)
    side.mod.join(player)
    await side.until(
        lambda: any(
            event.type == EventType.PLAYER_CONNECTED and event.data["player"]["gameId"] == player.game_id
            for event in side.events
        )
    )


async def test_a_wrong_token_is_refused_and_a_logout_ends_the_session(
    guarded: FlowWorld, chromium: BrowserContext
) -> None:
    await chromium.clear_cookies()
    page = await chromium.new_page()
    await page.goto(f"{guarded.relay.modapi.admin}/instance/solo")
    assert "/login" in page.url
    await page.get_by_label("Admin token").fill("wrong")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("not the admin token")
    await page.get_by_label("Admin token").fill(TOKEN)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Server solo")
    await page.get_by_role("button", name="Log out").click()
    await page.goto(f"{guarded.relay.modapi.admin}/")
    assert "/login" in page.url
    await page.close()


async def test_the_table_changes_without_a_reload(side: Side, page: Page) -> None:
    await page.evaluate("window.mark = 'the same page'")
    players = page.locator("tr", has=page.locator("#of-solo")).locator("[data-label=Players]")
    before = await players.text_content()
    await join(side, person(1))
    await expect(players).not_to_have_text(before or "")
    assert await page.evaluate("window.mark") == "the same page"


async def test_hostile_text_is_shown_and_not_run(side: Side, page: Page) -> None:
    hostile = person(2, HOSTILE)
    await visit(page, "solo")
    await join(side, hostile)
    side.mod.chat(hostile.game_id, HOSTILE)
    line = page.locator("#events tr", has_text="chat-message").first
    await expect(line).to_contain_text("<img src=x onerror='document.title=1'>")
    await expect(line).to_contain_text("</td><script>")
    assert await page.title() == "Server solo · dayz-relay"
    assert await page.locator("#events img, #events script").count() == 0


async def test_events_from_before_the_page_was_opened_are_shown(side: Side, page: Page) -> None:
    early = person(3)
    await join(side, early)
    side.mod.chat(early.game_id, "said before you came")
    await side.until(lambda: any(event.data.get("msg") == "said before you came" for event in side.events))
    await visit(page, "solo")
    await expect(page.locator("#events")).to_contain_text("said before you came")


async def test_a_command_is_shown_with_its_result(side: Side, page: Page) -> None:
    await visit(page, "solo")
    await side.takaro.request(
        side.identity, Action.EXECUTE_CONSOLE_COMMAND, requests.console("a line for the console")
    )
    line = page.locator("#commands tr", has_text="a line for the console")
    await expect(line).to_contain_text("done")


async def test_a_dead_letter_is_retried_once_its_player_is_known(
    guarded: FlowWorld, side: Side, page: Page
) -> None:
    late = person(4)
    gone = {"type": "player-disconnected", "player": {"gameId": late.bis_id, "name": ""}}
    async with httpx.AsyncClient(verify=False, timeout=30) as client:
        url = f"{guarded.relay.url}/k/{key('solo')}/gameserver/local/events"
        assert (await client.post(url, json={"events": [gone]})).status_code == 200
    await visit(page, "solo")
    letter = page.locator("#dead li", has_text="unknown-player")
    await expect(letter).to_be_visible()
    await letter.get_by_text("What the mod sent").click()
    await expect(letter.locator("pre")).to_contain_text(late.bis_id)
    await join(side, late)
    await letter.get_by_role("button", name="Retry").click()
    await expect(page.locator("#dead li")).to_have_count(0)
    assert await in_view(page, page.get_by_text("1 on the way to Takaro"))
    await side.until(
        lambda: any(
            event.type == EventType.PLAYER_DISCONNECTED and event.data["player"]["gameId"] == late.game_id
            for event in side.events
        )
    )


async def test_everything_can_be_reached_by_keyboard_and_keeps_its_focus(side: Side, page: Page) -> None:
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.className") == "skip"
    for _ in range(30):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.id") == "of-solo":
            break
    await join(side, person(5))  # the table is replaced under the focus
    players = page.locator("tr", has=page.locator("#of-solo")).locator("[data-label=Players]")
    before = await players.text_content()
    await join(side, person(6))
    await expect(players).not_to_have_text(before or "")
    assert await page.evaluate("document.activeElement.id") == "of-solo"
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Server solo")


async def test_search_and_state_narrow_the_table(page: Page) -> None:
    await page.get_by_label("Search by name").fill("oth")
    await page.keyboard.press("Enter")
    await expect(page.locator("tbody tr")).to_have_count(1)
    assert await page.locator("tbody th a").text_content() == "Server other"


async def test_the_table_is_filtered_while_one_types(page: Page) -> None:
    await page.get_by_label("Search by name").press_sequentially("oth")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(page.locator("tbody th a")).to_have_text("Server other")
    await expect(page).to_have_url(re.compile(r"q=oth"))
    await expect(page.locator("#link")).to_have_text("live")
    await page.reload()
    await expect(page.locator("tbody tr")).to_have_count(1)


async def test_the_menu_of_a_row_stays_open_and_leads_to_what_it_names(side: Side, page: Page) -> None:
    row = page.locator("tr", has=page.locator("#of-solo"))
    players = row.locator("[data-label=Players]")
    before = await players.text_content()
    await page.get_by_label("Act on Server solo").click()
    await join(side, person(7))  # the table is replaced under the open menu
    await expect(players).not_to_have_text(before or "")
    await row.get_by_role("link", name="Mod config").click()
    config = page.get_by_text('"TakaroApiUrl"')
    await expect(config).to_be_visible()
    assert key("solo") not in (await config.text_content() or "")
    await page.get_by_role("button", name="Show with the mod key").click()
    await expect(page.locator("#config-text")).to_contain_text(f"/k/{key('solo')}")


async def test_players_are_listed_with_where_they_are(side: Side, page: Page) -> None:
    await join(side, person(8, "Zoë Q"))
    await visit(page, "solo")
    await expect(page.locator("#players tr", has_text="Zoë Q")).to_contain_text("ms")


async def test_a_state_is_chosen_by_keyboard_before_anything_is_shown(page: Page) -> None:
    before = page.url
    await page.get_by_label("State").focus()
    for _ in range(2):
        await page.keyboard.press("ArrowDown")
    assert page.url == before
    await page.get_by_role("button", name="Show").click()
    await expect(page).to_have_url(re.compile(r"state=attention"))


async def test_each_list_that_scrolls_has_a_name(page: Page) -> None:
    await visit(page, "solo")
    for name in ("Events", "Commands"):
        await expect(page.get_by_role("region", name=name)).to_have_count(1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
async def test_it_fits_the_window_in_both_colours(page: Page, scheme: str, width: int) -> None:
    """SHOTS=folder keeps pictures, to be looked at."""
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    await page.set_viewport_size({"width": width, "height": 844})
    for slug in ("", "solo"):
        if slug:
            await visit(page, slug)
            await expect(page.get_by_role("heading", level=1)).to_contain_text("Server solo")
            await expect(page.locator("#link")).to_have_text("live")
        wide, window = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide <= window
        ground, text = await page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        )
        assert (_brightness(ground) > _brightness(text)) is (scheme == "light")
        if folder := os.environ.get("SHOTS"):
            name = f"{slug or 'fleet'}-{scheme}-{width}.png"
            await page.screenshot(path=Path(folder) / name, full_page=True)


def _brightness(colour: str) -> float:
    return sum(map(float, re.findall(r"[\d.]+", colour)[:3]))


async def test_the_page_says_that_the_relay_is_away_until_it_is_back(
    guarded: FlowWorld, page: Page, complaints: list[str]
) -> None:
    await visit(page, "solo")
    began = asyncio.get_running_loop().time()
    assert await guarded.relay.modapi.stop() == 0
    assert asyncio.get_running_loop().time() - began < STOP_WITHIN_S  # an open page does not hold it up
    await expect(page.locator("#link")).to_contain_text("the relay is away, as of ")
    await guarded.relay.modapi.start()
    await expect(page.locator("#link")).to_have_text("live")
    # The browser logs each failed attempt; their number is chance.
    complaints[:] = [one for one in complaints if "ERR_CONNECTION_REFUSED" not in one]


async def test_a_page_without_its_relay_is_grey_and_shows_its_age(
    guarded: FlowWorld, page: Page, complaints: list[str]
) -> None:
    modapi, link, main = guarded.relay.modapi, page.locator("#link"), page.locator("main")
    title = await page.title()
    as_of = re.compile(r"as of \d\d:\d\d:\d\d")
    modapi.kill()
    await modapi.ended()
    await expect(link).to_have_text(re.compile(r"^the relay is away, as of "))
    await expect(page).to_have_title(re.compile(rf"^{as_of.pattern} · {re.escape(title)}$"))
    await expect(main).to_have_css("filter", "grayscale(1)")
    if folder := os.environ.get("SHOTS"):
        await page.screenshot(path=Path(folder) / "stale.png")
    shown = await link.text_content()
    await page.evaluate(LATER, 60_000)
    attempts = len(complaints)
    await until(lambda: len(complaints) > attempts)  # after each attempt it says how old it is
    assert await link.text_content() == shown  # the time is that of the last news, not of now
    await modapi.start()
    await expect(link).to_have_text("live")
    await expect(page).to_have_title(title)
    await expect(main).to_have_css("filter", "none")
    assert all("ERR_" in complaint for complaint in complaints)
    complaints.clear()


async def test_a_relay_that_hangs_is_noticed_though_its_connection_stands(
    guarded: FlowWorld, page: Page
) -> None:
    link, modapi = page.locator("#link"), guarded.relay.modapi
    modapi.freeze()
    try:
        await page.evaluate(LATER, 12_000)
        await expect(link).to_have_text(re.compile(r"^no news from the relay, as of "))
        await expect(page.locator("main")).to_have_css("filter", "grayscale(1)")
    finally:
        modapi.thaw()
    await expect(link).to_have_text("live")


async def test_a_page_without_changes_stays_live(page: Page) -> None:
    await page.add_init_script(COUNTS_SIGNS_OF_LIFE)
    await visit(page, "other")
    await page.evaluate(
        "new MutationObserver(() => { if (document.body.className) window.greyed = true })"
        ".observe(document.body, { attributes: true, attributeFilter: ['class'] })"
    )
    await until(lambda: page.evaluate("window.alive"))
    # Without that sign of life its last news would be older than it waits for, and with it they are not.
    await page.evaluate(LATER, 7_500)
    looks = await page.evaluate("window.looks")
    await until(lambda: page.evaluate("window.looks"), met=lambda count: count > looks)
    assert not await page.evaluate("window.greyed")
