"""The operator of forty servers finds the broken one, mends it, and adds one: at the page and by commands."""

import asyncio
import json
import re
from typing import Any

from playwright.async_api import expect

from services.relay.protocol.vocabulary import Action
from services.sim.dayz.generations import Generation
from services.sim.dayz.server import SimModConfig
from tests.flows.conftest import REGISTRATION_TOKEN, FlowWorld, Side, block, key
from tests.flows.test_command_line import Command, ran
from tests.support.browser import browser
from tests.support.faulty_takaro import FaultyTakaro
from tests.support.relay_process import RelayProcess
from tests.support.waiting import until
from tests.support.watched_dayz import WatchedDayz

SLUGS = [f"eu-{number:02d}" for number in range(40)]
BROKEN, WELL = SLUGS[7], SLUGS[8]


def mod_of(world: FlowWorld, name: str, mod_key: str) -> Side:
    """The game server `name`, which runs from now on with this key."""
    config = SimModConfig(f"{world.relay.url}/k/{mod_key}", mod_key, flush_s=0.05, poll_s=0.05)
    side = world.sides[name] = Side(name, WatchedDayz(config, Generation.SCANNER), world.takaro)
    side.boot()
    return side


async def fleet(world: FlowWorld) -> Any:
    return json.loads(await ran(world, "fleet", "--json"))


async def test_of_forty_servers_the_broken_one_is_found_and_mended() -> None:
    async with FaultyTakaro(registration_tokens={REGISTRATION_TOKEN}) as takaro, browser() as context:
        relay = RelayProcess(takaro.url, [block(slug) for slug in SLUGS], REGISTRATION_TOKEN)
        world = FlowWorld(takaro, relay)
        await relay.start()
        page = await context.new_page()
        try:
            mod_of(world, WELL, key(WELL))
            mod_of(world, BROKEN, "a-key-of-another-year")
            await page.goto(f"{relay.modapi.admin}/")
            await expect(page.locator("#summary")).to_contain_text("40 servers")
            await expect(page.locator(".chips")).to_contain_text("39 never called")
            await expect(page.get_by_text("a mod key that opens no server")).to_be_visible()
            counts = await until(lambda: fleet(world), met=lambda counts: counts["states"]["up"] == 1)
            assert counts["total"] == 40

            await page.get_by_role("link", name=re.compile("never called")).click()
            await page.get_by_label("Search by name").fill(BROKEN)
            await expect(page.locator("tbody tr")).to_have_count(1)
            await page.locator(f"#of-{BROKEN}").click()
            await page.get_by_role("button", name="Show with the mod key").click()
            config = json.loads(await page.locator("#config-text").text_content() or "")
            await world.sides[BROKEN].shut()
            mended = mod_of(world, BROKEN, config["TakaroApiUrl"].rpartition("/k/")[2])
            await expect(page.locator("#facts")).to_contain_text("just now")
            await mended.linked()

            issued = json.loads(await ran(world, "instance", "add", "new", "--name", "New", "--json"))
            await page.goto(f"{relay.modapi.admin}/?q=new")
            await expect(page.locator("#of-new")).to_be_visible()
            mod_of(world, "new", json.loads(issued["mod_config"])["TakaroApiUrl"].rpartition("/k/")[2])
            row = page.locator("tr", has=page.locator("#of-new"))
            await expect(row.locator(".badge")).to_have_text("up")
            await page.get_by_label("Act on New").click()
            await row.get_by_role("link", name="Disable").click()
            await page.get_by_role("button", name="Disable New").click()
            await expect(page.get_by_text("new is disabled")).to_be_visible()
            code, said = await Command(world, "say", "new", "hello").run()
            assert code != 0 and "disabled" in said, said
            assert f"said on {WELL}" in await ran(world, "say", WELL, "the server restarts")
            (effect,) = world.side(WELL).mod.world.ran(Action.SEND_MESSAGE)
            assert effect.args["message"] == "the server restarts"
        finally:
            await page.close()
            await asyncio.gather(*(side.shut() for side in world.sides.values()))
            codes = await relay.stop()
        assert codes == [0, 0], relay.modapi.log + relay.uplink.log
        assert "Traceback" not in relay.modapi.log + relay.uplink.log
