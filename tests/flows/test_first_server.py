"""One evening: an empty relay, a browser, a DayZ server; nothing is done at a shell."""

import asyncio
import json
import os
from pathlib import Path

import httpx
from playwright.async_api import expect

from services.sim.dayz.generations import Generation
from services.sim.dayz.server import SimModConfig
from services.sim.dayz.world import make_player
from services.sim.takaro.server import TakaroSim
from tests.flows.conftest import REGISTRATION_TOKEN
from tests.support.browser import browser
from tests.support.relay_process import RelayProcess
from tests.support.watched_dayz import WatchedDayz


async def test_the_first_server_is_connected_in_the_browser_alone() -> None:
    """SHOTS=folder keeps a picture, to be looked at."""
    async with TakaroSim(registration_tokens={REGISTRATION_TOKEN}) as takaro, browser() as context:
        relay = RelayProcess(takaro.url, [], "a-token-that-takaro-does-not-know")
        await relay.start()
        page = await context.new_page()
        try:
            await page.goto(f"{relay.modapi.admin}/")
            await page.get_by_label("Server name").fill("[EU] My first server")
            await page.get_by_label("Takaro's registration token").fill(REGISTRATION_TOKEN)
            await page.keyboard.press("Enter")
            await expect(page.locator("#link")).to_have_text("live")
            steps = page.locator("#checklist li")
            await expect(steps.nth(0)).to_have_class("open")
            await expect(steps.nth(2)).to_have_class("done")  # linked, before any mod
            config = json.loads(await page.locator("#config-text").text_content() or "")
            mod = WatchedDayz(
                SimModConfig(config["TakaroApiUrl"], config["RegistrationToken"], flush_s=0.05, poll_s=0.05),
                Generation.SCANNER,
            )
            async with httpx.AsyncClient(timeout=30) as client:  # before it polls or sends events
                token = {"registrationToken": config["RegistrationToken"]}
                answer = await client.post(f"{config['TakaroApiUrl']}/gameserver/register", json=token)
                assert answer.status_code == 200
            await expect(steps.nth(0)).to_have_class("done")
            await expect(page.locator("#facts")).to_contain_text("just now")
            running = asyncio.create_task(mod.run())
            mod.join(make_player(900_001))
            await expect(page.locator("#checklist h2")).to_have_text("Connected")
            await expect(page.locator("#checklist li.done")).to_have_count(4)
            await expect(page.locator("#day")).to_contain_text("link up 100 %")
            if folder := os.environ.get("SHOTS"):
                await page.screenshot(path=Path(folder) / "first-server.png", full_page=True)
            await page.get_by_label("Message to everybody").fill("Welcome")
            await page.get_by_role("button", name="Send").click()
            await expect(page.get_by_text("Message: done")).to_be_visible()
            await page.get_by_text("Disable", exact=True).click()
            await page.get_by_role("button", name="Disable [EU] My first server").click()
            await expect(page.get_by_text("is disabled: its mod is refused")).to_be_visible()
            mod.stop()
            await running
        finally:
            await page.close()
            codes = await relay.stop()
        assert codes == [0, 0], relay.modapi.log + relay.uplink.log
        assert "Traceback" not in relay.modapi.log + relay.uplink.log
