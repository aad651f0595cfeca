"""The commands that look at a relay, against one that works between a mod and Takaro."""

import asyncio
import contextlib
import json
import os
import re
import sys
from pathlib import Path

import httpx
import pytest

from services.relay.protocol.records import DeadEvent
from services.relay.protocol.vocabulary import Action
from services.relay.store.client import Store
from services.relay.store.event_stream import EventStream
from services.relay.store.repeats import digest
from services.relay.store.stream_entries import EventBatch, PostedEvent
from services.sim.dayz.world import make_player
from tests.flows.conftest import FlowWorld, key
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]


class Command:
    """`dayz-relay …` with the settings of a world."""

    def __init__(self, world: FlowWorld, *argv: str) -> None:
        self.argv = argv
        config, data = world.relay.folder / "relay.toml", world.relay.data
        self.environ = {"DAYZ_RELAY_CONFIG": str(config), "DAYZ_RELAY_DATA": str(data)}
        self.process: asyncio.subprocess.Process | None = None

    async def begin(self) -> asyncio.subprocess.Process:
        clean = {n: t for n, t in os.environ.items() if not n.startswith(("RELAY_", "TAKARO_"))}
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.cli", *self.argv),
            env={**clean, **self.environ, "PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        return self.process

    async def run(self) -> tuple[int, str]:
        process = await self.begin()
        async with asyncio.timeout(60):
            out, _ = await process.communicate()
        assert b"Traceback" not in out, out.decode()
        assert process.returncode is not None
        return process.returncode, out.decode()


async def ran(world: FlowWorld, *argv: str) -> str:
    code, said = await Command(world, *argv).run()
    assert code == 0, said
    return said


async def test_status_shows_what_is_up_and_in_detail_what_is_known(single: FlowWorld) -> None:
    side = single.side("solo")
    side.mod.join(make_player(1))
    await side.until(lambda: side.events)
    said = await ran(single, "status")
    head, _, columns, row = said.splitlines()
    assert head.startswith("1 up; ") and row.split()[:4] == ["up", "solo", "Server", "solo"]
    assert "\x1b" not in said
    assert row.index("linked") == columns.index("TAKARO")
    assert "heard of " in await ran(single, "status", "solo")
    (view,) = json.loads(await ran(single, "status", "--json"))
    assert (view["state"], view["link"]["state"], view["problems"]) == ("up", "ready", [])

    await single.relay.uplink.stop()
    code, said = await Command(single, "status", "solo").run()
    assert code == 1 and "no uplink owns it" in said and "start the relay" in said
    await single.relay.uplink.start()


async def test_doctor_finds_nothing_wrong_and_does_not_disturb_a_live_link(single: FlowWorld) -> None:
    side = single.side("solo")
    identified = single.takaro.identifies(side.identity)
    code, said = await Command(single, "doctor", "--identify", "solo").run()
    assert code == 0, said
    for words in (
        "modapi runs on",
        "uplink runs on",
        "greets as Takaro does",
        "1 up",
        "nothing was tried",
    ):
        assert words in said
    assert single.takaro.identifies(side.identity) == identified


async def test_doctor_finds_the_relay_though_its_admin_ports_were_changed_in_the_file(
    single: FlowWorld,
) -> None:
    path = single.relay.folder / "relay.toml"
    before = path.read_text()
    path.write_text(re.sub(r"^admin_port = \d+", lambda _: f"admin_port = {free_port()}", before, flags=re.M))
    try:
        code, said = await Command(single, "doctor").run()
    finally:
        path.write_text(before)
    assert code == 0, said
    for service in (single.relay.modapi, single.relay.uplink):
        at = service.admin.removeprefix("http://")
        assert f"{service.name} runs on {at}, not on " in said
        assert f"{service.name} runs on {at} and is ready" in said
    assert "restart the relay" in said and "does not run here" not in said


async def test_doctor_identifies_where_there_is_no_link(single: FlowWorld) -> None:
    await single.relay.uplink.stop()
    code, said = await Command(single, "doctor", "--identify", "solo").run()
    assert code == 1 and "uplink does not run here" in said and "solo: no uplink owns it" in said
    assert "Takaro knows this server as" in said
    await single.relay.uplink.start()


async def test_say_reaches_the_game_and_tail_shows_it(single: FlowWorld) -> None:
    side = single.side("solo")
    tail = Command(single, "tail", "solo", "--type", "sendMessage", "--type", "chat-message", "--json")
    process = await tail.begin()
    assert process.stdout
    try:
        player = make_player(1)
        side.mod.join(player)
        side.mod.chat(player.game_id, "hello \x1b[31m there")
        async with asyncio.timeout(60):
            passed = json.loads(await process.stdout.readline())
            if passed["state"] == "waiting":  # seen between its acceptance and Takaro's receipt
                passed = json.loads(await process.stdout.readline())
        assert (passed["type"], passed["state"], passed["slug"]) == ("chat-message", "delivered", "solo")
        assert "said on solo" in await ran(single, "say", "solo", "Restart", "in", "5 minutes")
        (effect,) = side.mod.world.ran(Action.SEND_MESSAGE)
        assert effect.args["message"] == "Restart in 5 minutes"
        async with asyncio.timeout(60):
            passed = json.loads(await process.stdout.readline())
        assert (passed["action"], passed["state"]) == ("sendMessage", "answered")
        assert passed["arguments"]["message"] == "Restart in 5 minutes"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def test_say_to_a_server_that_is_away_says_that_it_was_not_delivered(single: FlowWorld) -> None:
    await single.side("solo").shut()
    code, said = await Command(single, "say", "solo", "hello").run()
    assert code == 1 and "not delivered" in said


async def test_a_dead_letter_is_listed_shown_taken_in_again_and_dropped(single: FlowWorld) -> None:
    side = single.side("solo")
    store = Store(single.relay.store.url)
    raws = [b'{"type":"log","msg":"mended \\u001b now"}', b'{"type":"no-such-event"}']
    dead = [PostedEvent(digest(raw), DeadEvent("unknown-type", "type: what \x1b[2J is", raw)) for raw in raws]
    await EventStream(store, "solo").append(EventBatch(dead))
    await store.close()

    said = await ran(single, "dlq", "list", "solo")
    head, newer, older = said.splitlines()
    assert "unknown-type" in newer and "\x1b" not in said and head.startswith("ID")
    good, bad = older.split()[0], newer.split()[0]
    assert '"no-such-event"' in await ran(single, "dlq", "show", "solo", bad)
    assert "on the way to Takaro" in await ran(single, "dlq", "retry", "solo", good)
    await side.until(lambda: any("mended" in text for text in side.messages()))
    await ran(single, "dlq", "drop", "solo", "--all", "--yes")
    assert "no dead letters" in await ran(single, "dlq", "list", "solo")
    code, said = await Command(single, "dlq", "retry", "solo", good).run()
    assert code == 1 and "no dead letter" in said
    async with httpx.AsyncClient(timeout=30) as client:
        assert (await client.get(f"{single.relay.url}/k/{key('solo')}/health")).status_code == 200


@pytest.mark.parametrize("argv", [("dlq", "drop", "solo"), ("dlq", "retry", "solo", "1-0", "--all")])
async def test_without_an_id_or_all_no_dead_letter_is_touched(
    single: FlowWorld, argv: tuple[str, ...]
) -> None:
    code, said = await Command(single, *argv).run()
    assert code == 2 and "name one id" in said
