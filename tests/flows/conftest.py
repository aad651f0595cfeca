"""One relay between a simulated Takaro and three simulated servers, one of each generation of mods."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from services.sim.dayz.generations import Generation
from services.sim.dayz.server import SimModConfig
from services.sim.takaro.socket import Accepted
from tests.support.faulty_takaro import FaultyTakaro
from tests.support.relay_process import RelayProcess
from tests.support.watched_dayz import WatchedDayz

REGISTRATION_TOKEN = "registration-token-of-the-fleet"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.flow)


def block(name: str) -> str:
    """One instance of relay.toml."""
    return (
        f'slug = "{name}"\nname = "Server {name}"\n'
        f'identity_token = "identity-{name}"\nmod_keys = ["{key(name)}"]\n'
    )


def key(name: str) -> str:
    return f"mod-key-of-{name}-0123456789"


@dataclass
class Side:
    """One instance, seen from both ends."""

    name: str
    mod: WatchedDayz
    takaro: FaultyTakaro
    running: asyncio.Task[None] | None = None

    @property
    def identity(self) -> str:
        return f"identity-{self.name}"

    @property
    def events(self) -> list[Accepted]:
        return self.takaro.events(self.identity)

    def messages(self) -> list[str]:
        """The texts of all log events, keep-alives aside."""
        texts = [event.data["msg"] for event in self.events if event.type == "log"]
        return [text for text in texts if not text.startswith("dayz-relay:")]

    async def until(self, predicate, timeout_s: float = 60.0) -> None:  # type: ignore[no-untyped-def]
        await self.takaro.wait_for(predicate, timeout_s)

    async def linked(self) -> None:
        await self.until(lambda: self.takaro.is_connected(self.identity))

    def boot(self) -> None:
        self.running = asyncio.create_task(self.mod.run())

    async def shut(self) -> None:
        if self.running:
            self.mod.stop()
            await self.running
            self.running = None


@dataclass
class FlowWorld:
    """Both ends and the relay between them."""

    takaro: FaultyTakaro
    relay: RelayProcess
    sides: dict[str, Side] = field(default_factory=dict)

    def side(self, name: str) -> Side:
        return self.sides[name]


async def make_world(  # type: ignore[no-untyped-def]
    generations: dict[str, Generation], *, poll_s: float = 0.05, **takaro_options
) -> AsyncIterator[FlowWorld]:
    async with FaultyTakaro(registration_tokens={REGISTRATION_TOKEN}, **takaro_options) as takaro:
        relay = RelayProcess(takaro.url, [block(name) for name in generations], REGISTRATION_TOKEN)
        world = FlowWorld(takaro, relay)
        try:
            await relay.start()
            for name, generation in generations.items():
                config = SimModConfig(f"{relay.url}/k/{key(name)}", key(name), flush_s=0.05, poll_s=poll_s)
                side = world.sides[name] = Side(name, WatchedDayz(config, generation), takaro)
                side.boot()
            for side in world.sides.values():
                await side.linked()
            yield world
        finally:
            await asyncio.gather(*(side.shut() for side in world.sides.values()))
            codes = await relay.stop()
            if os.environ.get("SHOW_LOGS"):
                print(relay.modapi.log, relay.uplink.log)
        assert codes == [0, 0], relay.modapi.log + relay.uplink.log
        assert "Traceback" not in relay.modapi.log + relay.uplink.log


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[FlowWorld]:
    """Three instances, named after the generation of their mod; shared by the tests of a module."""
    async for made in make_world({generation.value: generation for generation in Generation}):
        yield made


@pytest_asyncio.fixture
async def single() -> AsyncIterator[FlowWorld]:
    """One instance, "solo", for a test that breaks things."""
    async for made in make_world({"solo": Generation.SCANNER}):
        yield made
