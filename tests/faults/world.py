"""A relay with mods, Takaro and Redis. A scenario starts it, loads it, breaks it and heals it."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from services.relay.protocol.errors import StoreError
from services.relay.protocol.keys import keys_of
from services.relay.store.client import Store
from services.sim.dayz.server import SimModConfig
from tests.faults.ending import drain, judge
from tests.faults.invariants import TENURE_S
from tests.faults.ledger import Fault, Ledger
from tests.faults.measures import measure, server_version
from tests.faults.oracle import MarkingMod, Takaro, keep_happening, keep_writing
from tests.faults.registry import Scenario
from tests.faults.shape import Outcome, Shape
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer, binaries
from tests.support.relay_process import Service

REGISTRATION_TOKEN = "secret-registration-token-of-the-fleet"
FLOWS_WITHIN_S = 30.0


AnyWorld = TypeVar("AnyWorld", bound="World")


class Run:
    """One run of a scenario: its random numbers, its number of cycles, and its outcome."""

    def __init__(
        self, scenario: Scenario, cycles: int, seed: int, say: Callable[[str], object] = print
    ) -> None:
        self.scenario = scenario
        self.cycles = cycles
        self.chance = random.Random(f"{scenario.name} {seed}")
        self.outcome = Outcome()
        self.say = say

    @asynccontextmanager
    async def world(self, shape: Shape | None = None, store: Any = None) -> AsyncIterator["World"]:
        """A running world; leaving it in order judges it. `store` is any set of servers with `url`,
        `start()`, `remove()`; by default one server as `shape` has it."""
        async with self.within(World(self, shape or Shape(), store)) as world:
            yield world

    @asynccontextmanager
    async def within(self, world: AnyWorld) -> AsyncIterator[AnyWorld]:
        """Like `world`, for a world that the scenario has made itself."""
        async with world:
            yield world
            await drain(world)
            await judge(world)

    def must(self, held: object, promise: str) -> None:
        """Check a promise that only this scenario makes."""
        if not held:
            self.outcome.complaints.append(f"!: {promise}")

    def note(self, name: str, value: Any) -> None:
        """Note a measured value for the results."""
        self.outcome.notes[name] = value

    async def pause(self, low_s: float, high_s: float) -> None:
        """Wait for a random time."""
        await asyncio.sleep(self.chance.uniform(low_s, high_s))


class World:
    """One relay between the oracle's mods and the oracle's Takaro. Made by `Run.world`.

    The `..._of` methods say where and how each service runs; a world on several machines overrides them.
    """

    def __init__(self, run: Run, shape: Shape, store: Any = None) -> None:
        self.run = run
        self.shape = shape
        self.ledger = Ledger()
        self.folder = Path(tempfile.mkdtemp(prefix="relay-fault-"))
        self.store = store or RedisServer(
            binaries()[shape.binary],
            folder=Path(tempfile.mkdtemp(prefix="relay-")),  # on a disk, as for a user
            port=str(free_port()),
            **shape.server,
        )
        self.registration_token = REGISTRATION_TOKEN
        self.slugs = [f"s{number:03}" for number in range(1, shape.instances + 1)]
        self.takaro = Takaro(
            self.ledger, self._process, registration_tokens={REGISTRATION_TOKEN}, ask_location=False,
            **shape.takaro,
        )  # fmt: skip
        self.modapis: list[Service] = []
        self.uplinks: list[Service] = []
        self.mods: dict[str, MarkingMod] = {}
        self.front = Proxy("127.0.0.1", 0)
        self.redis_of: dict[str, Proxy] = {}
        self.takaro_of: dict[str, Proxy] = {}
        self._ports: dict[str, int] = {}
        self._traffic: list[asyncio.Task[None]] = []
        self._living: dict[str, asyncio.Task[None]] = {}
        self._open = contextlib.AsyncExitStack()
        self.base: dict[str, dict[str, float]] = {}

    # Where things are

    def identity(self, slug: str) -> str:
        return f"secret-identity-of-{slug}"

    def mod_key(self, slug: str) -> str:
        return f"secret-mod-key-of-{slug}-0123456789"

    def redis_url_of(self, label: str) -> str:
        if proxy := self.redis_of.get(label):
            return f"redis://127.0.0.1:{proxy.port}"
        return str(self.store.url)

    def takaro_url_of(self, label: str) -> str:
        """Takaro's address for a process. Its path tells the oracle which process calls."""
        port = (
            self.takaro_of[label].port
            if label in self.takaro_of
            else int(self.takaro.url[:-1].rpartition(":")[2])
        )
        return f"ws://127.0.0.1:{port}/{label}"

    def host_of(self, label: str) -> str:
        """The host at which a modapi serves mods, and every service its admin port."""
        return "127.0.0.1"

    def address_of(self, modapi: Service) -> tuple[str, int]:
        """The host and port at which this modapi serves mods."""
        return self.host_of(modapi.label), self._ports[modapi.label]

    def prefix_of(self, label: str) -> Sequence[str]:
        return ()

    def _process(self, path: str) -> str:
        """The process that has this path in Takaro's address: "uplink-2#5" is its fifth start."""
        label = path.strip("/")
        service = next((service for service in self.uplinks if service.label == label), None)
        return f"{label}#{service.starts}" if service else label

    # From start to end

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stop()

    async def _start(self) -> None:
        await asyncio.to_thread(self.store.start)
        self.run.outcome.servers.add(await server_version(self.store))
        await self._open.enter_async_context(self.takaro)
        self._books = Store(self.store.url)
        for slug in self.slugs:
            self.takaro.expect(self.identity(slug), slug)
        for name, count, services in (
            ("modapi", self.shape.modapis, self.modapis),
            ("uplink", self.shape.uplinks, self.uplinks),
        ):
            for number in range(1, count + 1):
                services.append(await self.add(name, f"{name}-{number}"))
        self.front.targets = list(map(self.address_of, self.modapis))
        await self._open.enter_async_context(self.front)
        await asyncio.gather(*(service.start() for service in self.services))
        for slug in self.slugs:
            self.mods[slug] = MarkingMod(
                slug,
                SimModConfig(
                    f"http://127.0.0.1:{self.front.port}/k/{self.mod_key(slug)}",
                    self.mod_key(slug),
                    flush_s=self.shape.flush_s,
                    poll_s=self.shape.poll_s,
                ),
                self.ledger,
                random.Random(self.run.chance.random()),
            )
            self.mods[slug].http.total_s = self.shape.mod_waits_s
        for mod in self.mods.values():
            self.boot(mod)
        self.load()
        await self.takaro.wait_for(
            lambda: all(self.ledger.newest[slug] for slug in self.slugs), FLOWS_WITHIN_S
        )
        self.base = await measure(self.services, self.store)

    async def add(self, name: str, label: str) -> Service:
        """Add a service without starting it. A modapi is not in `front.targets` yet."""
        if self.shape.proxied:
            proxy = Proxy("127.0.0.1", self.store.port)
            self.redis_of[label] = await self._open.enter_async_context(proxy)
        if self.shape.takaro_proxied and name == "uplink":
            proxy = Proxy("127.0.0.1", int(self.takaro.url[:-1].rpartition(":")[2]))
            self.takaro_of[label] = await self._open.enter_async_context(proxy)
        admin_port = free_port()
        self._ports[label] = free_port()
        config = self.folder / f"{label}.toml"
        config.write_text(self._toml(label, admin_port))
        os.chmod(config, 0o600)
        entry = "tests.faults.sabotage" if self.shape.sabotage else "services.cli"
        prefix = [*self.prefix_of(label)]
        if self.shape.sabotage:
            prefix += ["env", f"SABOTAGE={self.shape.sabotage}"]
        return Service(
            name, config, admin_port, label=label, entry=entry, prefix=prefix, admin_host=self.host_of(label)
        )

    def _toml(self, label: str, admin_port: int) -> str:
        host = self.host_of(label)
        blocks = "".join(
            f'[[instance]]\nslug = "{slug}"\nname = "Server {slug}"\n'
            f'identity_token = "{self.identity(slug)}"\nmod_keys = ["{self.mod_key(slug)}"]\n'
            for slug in self.slugs
        )
        return (
            f'[takaro]\nurl = "{self.takaro_url_of(label)}"\nregistration_token = "{REGISTRATION_TOKEN}"\n'
            f'[redis]\nurl = "{self.redis_url_of(label)}"\n{self.shape.redis_toml}\n'
            f'[modapi]\nhost = "{host}"\nport = {self._ports[label]}\n'
            f'admin_host = "{host}"\nadmin_port = {admin_port}\n{self.shape.modapi_toml}\n'
            f'[uplink]\nadmin_host = "{host}"\nadmin_port = {admin_port}\n{self.shape.uplink_toml}\n{blocks}'
        )

    async def _stop(self) -> None:
        tasks = [*self._traffic, *self._living.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(self._end(service) for service in self.services))
        with contextlib.suppress(AttributeError, StoreError):
            await self._books.close()
        await self._open.aclose()
        await asyncio.to_thread(self.store.remove)
        if os.environ.get("KEEP_LOGS"):
            self.run.say(f"logs are in {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    async def _end(self, service: Service) -> None:
        if not service.running:
            return
        os.kill(service.pid, signal.SIGCONT)
        with contextlib.suppress(TimeoutError):
            await service.stop()
            return
        service.kill()
        await service.ended()

    # What is there

    @property
    def services(self) -> list[Service]:
        return [*self.modapis, *self.uplinks]

    def owned_by(self, uplink: Service) -> list[str]:
        """The instances whose last event came from this process."""
        return [slug for slug, name in self.ledger.owner.items() if name.partition("#")[0] == uplink.label]

    async def until_settled(self, for_s: float = TENURE_S) -> None:
        """Waits until nothing has moved for so long. If an uplink is stopped soon after it has taken an
        instance over, the move there and back looks like two owners."""
        owners, since_s = dict(self.ledger.owner), time.monotonic()
        while time.monotonic() - since_s < for_s:
            await asyncio.sleep(0.05)
            if owners != self.ledger.owner:
                owners, since_s = dict(self.ledger.owner), time.monotonic()

    async def queued(self) -> int:
        """The number of batches that wait in Redis."""
        return sum([int(await self._books.send("XLEN", keys_of(slug).events)) for slug in self.slugs])

    # What is done to it

    def load(self) -> None:
        """Start the load: events and writes."""
        for slug, mod in self.mods.items():
            if self.shape.rate:
                self._traffic.append(asyncio.create_task(keep_happening(mod, self.shape.rate)))
            if self.shape.writes:
                writing = keep_writing(self.takaro, mod, self.identity(slug), self.shape.writes)
                self._traffic.append(asyncio.create_task(writing))

    async def quieten(self) -> None:
        """Stop the load, and wait for the writes that are under way."""
        for task in self._traffic:
            task.cancel()
        await asyncio.gather(*self._traffic, return_exceptions=True)
        self._traffic = []

    def boot(self, mod: MarkingMod) -> None:
        """Start the server of a mod."""
        self._living[mod.slug] = asyncio.create_task(mod.run())

    async def shut(self, mod: MarkingMod) -> None:
        """Stop the server of a mod. Its queue stays."""
        mod.stop()
        await self._living.pop(mod.slug)

    def fault(self, name: str, *slugs: str) -> Fault:
        """Note a fault of these instances, or of all if none is given. It begins now."""
        now_s = time.monotonic()
        fault = Fault(name, now_s, now_s, self._newest(slugs or self.slugs))
        self.ledger.faults.append(fault)
        return fault

    def healed(self, fault: Fault) -> None:
        """Note the end of a fault that lasted. Recovery counts from now."""
        fault.since_s, fault.affected = time.monotonic(), self._newest(fault.affected)

    def _newest(self, slugs: Iterable[str]) -> dict[str, int]:
        return {slug: self.mods[slug].newest for slug in slugs}

    async def recovered(self, fault: Fault, within_s: float = 30.0) -> bool:
        """Wait until a new event of each affected instance has arrived. False if that takes too long."""
        with contextlib.suppress(TimeoutError):
            await self.takaro.wait_for(lambda: self.ledger.recovered(fault), within_s)
            return True
        return False

    async def kill(self, service: Service) -> None:
        """Kill a service, and count it."""
        self.run.outcome.kills[service.name] += 1
        service.kill()
        await service.ended()

    async def kill_store(self) -> None:
        """Kill the store and start it again at once with what is on its disk."""
        self.run.outcome.kills["redis"] += 1
        await asyncio.to_thread(self.store.kill)
        await asyncio.to_thread(self.store.start)
