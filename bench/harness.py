"""The relay under load: a store and both services as processes, and the load in two more processes."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import redis

from bench.names import REGISTRATION_TOKEN, block, slug
from bench.peer import Peer
from bench.plan import Plan
from bench.processes import Memory, cpu_s, memory_of
from bench.up import Up
from services.relay.protocol.keys import keys_of
from tests.support.relay_process import RelayProcess

DRAINED_WITHIN_S = 120.0
DRAINED_LOOK_S = 0.1
LINKED_WITHIN_S = 60.0
LOG_END = 2_000
THIS_TREE = Plan()
UNLIMITED = "[limits]\nrequests_per_s = 1e6\nevents_per_s = 1e6\nconnections_per_address = 10000"
"""High limits: the load is far above that of real mods, to find out what the relay can do."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU time by process, in seconds or in the unit that it was brought to by `each`."""

    parts: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.parts.values())

    def __str__(self) -> str:
        parts = " + ".join(f"{name} {_short(value)}" for name, value in self.parts.items())
        return f"{_short(self.total)} = {parts}"

    def each(self, units: float) -> "Cpu":
        return Cpu({name: value / units for name, value in self.parts.items()})

    def __sub__(self, other: "Cpu") -> "Cpu":
        return Cpu({name: value - other.parts[name] for name, value in self.parts.items()})


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


@dataclass(frozen=True, slots=True)
class Bench:
    """A relay with `instances` instances, linked and idle. `pids` are by the names of its processes."""

    instances: int
    pids: dict[str, int]
    store_socket: Path
    mods: Peer
    sink: Peer

    def cpu(self) -> Cpu:
        return Cpu({name: cpu_s(pid) for name, pid in self.pids.items()})

    def memory(self) -> dict[str, Memory]:
        """By process."""
        return {name: memory_of(pid) for name, pid in self.pids.items()}

    async def drained(self) -> None:
        """Wait until no event waits for Takaro's receipt."""
        store = redis.Redis(unix_socket_path=str(self.store_socket))
        deadline_s = time.monotonic() + DRAINED_WITHIN_S
        try:
            while waiting := self._waiting(store):
                assert time.monotonic() < deadline_s, f"{waiting} events are still there"
                await asyncio.sleep(DRAINED_LOOK_S)
        finally:
            store.close()

    def _waiting(self, store: redis.Redis) -> int:
        pipeline = store.pipeline(transaction=False)
        for number in range(self.instances):
            pipeline.xlen(keys_of(slug(number)).events)
        return sum(pipeline.execute())


@contextlib.asynccontextmanager
async def bench(instances: int, modapi_settings: str = "", plan: Plan = THIS_TREE) -> AsyncIterator[Bench]:
    """Starts and ends all processes. `modapi_settings`: more lines for that table of relay.toml."""
    async with Peer("bench.sink") as sink, Peer("bench.mods") as mods:
        url = await sink.call("listen")
        relay = RelayProcess(url, [block(number) for number in range(instances)], REGISTRATION_TOKEN)
        config = relay.folder / "relay.toml"
        text = config.read_text().replace("[modapi]\n", f"{UNLIMITED}\n[modapi]\n{modapi_settings}\n")
        config.write_text(text)
        if plan.tree:
            relay.run_from(plan.tree)
        try:
            await relay.start()
            await sink.call("linked", count=instances, within_s=LINKED_WITHIN_S)
            await mods.call("open", host="127.0.0.1", port=relay.port, instances=instances)
            pids = {"modapi": relay.modapi.pid, "uplink": relay.uplink.pid, "store": relay.store.pid}
            yield Bench(instances, pids, relay.store.socket, mods, sink)
            await mods.call("close")
        except BaseException:
            print(relay.modapi.log[-LOG_END:], relay.uplink.log[-LOG_END:], sep="\n")
            raise
        finally:
            await relay.stop()


@contextlib.asynccontextmanager
async def bench_of_up(plan: Plan) -> AsyncIterator[Bench]:
    """`dayz-relay up` with one instance and default settings."""
    async with Peer("bench.sink") as sink, Peer("bench.mods") as mods:
        up = Up(await sink.call("listen"), [block(0)], REGISTRATION_TOKEN, plan.tree)
        try:
            await up.start()
            await sink.call("linked", count=1, within_s=LINKED_WITHIN_S)
            await mods.call("open", host="127.0.0.1", port=up.port, instances=1)
            yield Bench(1, up.pids, up.socket, mods, sink)
            await mods.call("close")
        except BaseException:
            print(up.log[-LOG_END:])
            raise
        finally:
            await up.stop()
