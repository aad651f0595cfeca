"""A game server goes silent and comes back: Discord and a webhook hear of both, once."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.sim.dayz.generations import Generation
from tests.flows.conftest import FlowWorld, make_world
from tests.support.relay_process import Service
from tests.support.waiting import until

SECRET = "secret-part-of-the-address"


@dataclass
class Channel:
    """A web server that takes what is posted to it."""

    bodies: list[dict[str, Any]] = field(default_factory=list)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
        self.bodies.append(json.loads(await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        writer.close()

    def told(self) -> list[tuple[str, str]]:
        return [(one["condition"], one["state"]) for body in self.bodies for one in body.get("alerts", [])]

    def said(self) -> list[str]:
        return [body["content"] for body in self.bodies if "content" in body]


async def hasty(world: FlowWorld, port: int) -> None:
    """Uplink starts again, with alerts to a web server here."""
    relay = world.relay
    config = relay.folder / "relay.toml"
    address = f"http://127.0.0.1:{port}/{SECRET}"
    text = f'\n[alerts]\ndiscord_url = "{address}"\nwebhook_url = "{address}"\n'
    config.write_text(config.read_text() + text)
    await relay.uplink.stop()
    admin_port = int(relay.uplink.admin.rpartition(":")[2])
    relay.uplink = Service("uplink", config, admin_port, entry="tests.flows.hasty_alerts")
    await relay.uplink.start()


@pytest.fixture
async def told_world() -> AsyncIterator[tuple[FlowWorld, Channel]]:
    channel = Channel()
    server = await asyncio.start_server(channel.take, "127.0.0.1", 0)
    async for world in make_world({"solo": Generation.SCANNER}):
        await hasty(world, server.sockets[0].getsockname()[1])
        yield world, channel
        assert SECRET not in world.relay.uplink.log
    server.close()


async def told(channel: Channel, count: int) -> None:
    await until(lambda: min(len(channel.told()), len(channel.said())) >= count, 60.0)


async def test_a_silent_server_and_its_return_send_one_alert_each(
    told_world: tuple[FlowWorld, Channel],
) -> None:
    world, channel = told_world
    side = world.side("solo")
    await side.linked()
    await side.shut()
    await told(channel, 1)
    side.boot()
    await told(channel, 2)
    side.takaro.faults.refuse_identify("Invalid registrationToken provided")
    side.takaro.drop_connections()
    await told(channel, 3)  # a repetition would have come before
    assert channel.told() == [("silent", "began"), ("silent", "ended"), ("refused", "began")]
    silent, back, _ = channel.said()
    assert "**Server solo** (solo): the game server is silent" in silent.replace("\\", "")
    assert "**Server solo** (solo): the game server is back after" in back.replace("\\", "")
    metrics = await world.relay.uplink.metrics()
    assert metrics["dayz_relay_alert_messages_total{outcome=sent},{target=discord}"] >= 2
