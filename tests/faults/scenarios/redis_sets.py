"""F25 to F29: Sentinel sets and Clusters lose their primaries, are cut in two, or move slots."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from redis.crc import key_slot

from services.relay.protocol.keys import keys_of
from tests.faults.inject.island import Island
from tests.faults.registry import scenario
from tests.faults.shape import Shape
from tests.faults.world import Run, World
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer, binaries
from tests.support.redis_sets import Place, RedisCluster, SentinelSet, until
from tests.support.relay_process import Service

PARTITION_S = 15.0


@scenario("F25", "Sentinel (down-after 2 s): kill -9 the primary", cycles=10, recovery_s=6.0)
async def kill_sentinel_primary(run: Run) -> None:
    await _kill_primaries(run, "redis")


@scenario("F25-valkey", "Sentinel (down-after 2 s), Valkey: kill -9 the primary", cycles=5, recovery_s=6.0)
async def kill_sentinel_primary_of_valkey(run: Run) -> None:
    await _kill_primaries(run, "valkey")


async def _kill_primaries(run: Run, binary: str) -> None:
    store = SentinelSet(binaries()[binary])
    async with run.world(Shape(modapis=2, uplinks=2), store=store) as world:
        for _ in range(run.cycles):
            await run.pause(0.5, 1.5)
            fault = world.fault("primary killed")
            await _kill(world, await asyncio.to_thread(store.primary))
            await world.recovered(fault)
            await asyncio.to_thread(store.heal)


@scenario("F25-by-hand", "Sentinel: an operator replaces the living primary", cycles=6, recovery_s=6.0)
async def replace_sentinel_primary(run: Run) -> None:
    store = SentinelSet(binaries()["redis"])
    async with run.world(Shape(modapis=2, uplinks=2), store=store) as world:
        for _ in range(run.cycles):
            await run.pause(0.5, 1.5)
            fault = world.fault("primary replaced")
            await asyncio.to_thread(store.failover)
            await world.recovered(fault)
            await asyncio.to_thread(store.heal)


async def _kill(world: World, member: RedisServer) -> None:
    world.run.outcome.kills["redis"] += 1
    await asyncio.to_thread(member.kill)


class SplitWorld(World):
    """The primary, one Sentinel, and the services named in `minority` are on an island."""

    def __init__(self, run: Run, shape: Shape, island: Island, minority: Sequence[str]) -> None:
        mainland = Place(island.mainland)
        self.servers = SentinelSet(
            binaries()["redis"], places=(Place(island.address, island.prefix), mainland, mainland)
        )
        super().__init__(run, shape, self.servers)
        self._island = island
        self._minority = minority
        self._gate: Proxy | None = None
        """The way from the island to Takaro, which the partition does not cut."""

    async def add(self, name: str, label: str) -> Service:
        if self._gate is None:
            self._gate = Proxy(*_address(self.takaro.url), listen=self._island.oracle)
            await self._open.enter_async_context(self._gate)
        return await super().add(name, label)

    def takaro_url_of(self, label: str) -> str:
        if label in self._minority and self._gate:
            return f"ws://{self._island.oracle}:{self._gate.port}/{label}"
        return super().takaro_url_of(label)

    def host_of(self, label: str) -> str:
        return self._island.mods_at if label in self._minority else super().host_of(label)

    def prefix_of(self, label: str) -> Sequence[str]:
        return self._island.prefix if label in self._minority else ()


def _address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("ws://").strip("/").rpartition(":")
    return host, int(port)


@asynccontextmanager
async def _split_world(
    run: Run, shape: Shape, minority: Sequence[str]
) -> AsyncIterator[tuple[SplitWorld, Island]]:
    with Island() as island:
        async with run.within(SplitWorld(run, shape, island, minority)) as world:
            yield world, island


@scenario(
    "F26",
    "Sentinel: the primary, a modapi and an uplink are cut off for 15 s (`WAIT 1`)",
    cycles=2,
    short=1,
    recovery_s=20.0,
)
async def partition(run: Run) -> None:
    """Every second POST goes to the minority, which needs 2.5 s to refuse it. The recovery includes that."""
    shape = Shape(modapis=2, uplinks=2, instances=6)
    async with _split_world(run, shape, ("modapi-2", "uplink-2")) as (world, island):
        for _ in range(run.cycles):
            await _to_the_island(world)
            await run.pause(1, 2)
            refused = await _refusals(world.modapis[1])
            fault = world.fault("cut in two")
            island.cut()
            await asyncio.sleep(PARTITION_S)
            refused = await _refusals(world.modapis[1]) - refused
            run.note("503s of the minority", int(refused))
            run.must(refused > 0, "the minority refuses events that it cannot replicate")
            # Not all of them: mods whose POSTs go to the minority wait until the partition ends.
            newest = world.ledger.newest
            delivered = any(newest[slug] > number for slug, number in fault.affected.items())
            run.must(delivered, "the majority delivers events during the partition")
            fault = world.fault("joined again")
            island.join()
            await world.recovered(fault)
            await asyncio.to_thread(world.servers.heal)


async def _to_the_island(world: SplitWorld) -> None:
    """Makes the member on the island the primary."""
    home = world.servers.members[0]

    def move() -> None:
        for _ in range(10):
            if world.servers.primary() is home:
                return
            with contextlib.suppress(AssertionError):
                world.servers.failover()
            until(world.servers.healthy)
        raise AssertionError("the primary does not move to the island")

    await asyncio.to_thread(move)


async def _refusals(modapi: Service) -> float:
    counted = await modapi.metrics()
    return sum(
        value
        for name, value in counted.items()
        if "mod_calls_total" in name and "{answer=store-away}" in name and "{call=events}" in name
    )


@scenario(
    "F27",
    "negative control: the primary and a modapi are cut off for 15 s, and nobody waits for replicas",
    breaks="C",
)
async def partition_without_wait(run: Run) -> None:
    shape = Shape(modapis=2, uplinks=1, redis_toml="replicas = 0")
    async with _split_world(run, shape, ("modapi-2",)) as (world, island):
        world.fault("cut in two")
        island.cut()
        await asyncio.sleep(PARTITION_S)
        fault = world.fault("joined again")
        island.join()
        await world.recovered(fault)
        await asyncio.to_thread(world.servers.heal)


@scenario("F28", "Cluster (node-timeout 2 s): kill -9 the primary of a slot", cycles=6, recovery_s=6.0)
async def kill_cluster_primary(run: Run) -> None:
    await _kill_slots_primary(run, "redis")


@scenario(
    "F28-valkey",
    "Cluster (node-timeout 2 s), Valkey: kill -9 the primary of a slot",
    cycles=3,
    recovery_s=6.0,
)
async def kill_cluster_primary_of_valkey(run: Run) -> None:
    await _kill_slots_primary(run, "valkey")


async def _kill_slots_primary(run: Run, binary: str) -> None:
    store = RedisCluster(binaries()[binary])
    async with run.world(Shape(modapis=2, uplinks=2, instances=6), store=store) as world:
        for cycle in range(run.cycles):
            await run.pause(0.5, 1.5)
            slot = slot_of(world.slugs[cycle % len(world.slugs)])
            primary = await asyncio.to_thread(store.primary_of_slot, slot)
            fault = world.fault("primary killed", *slugs_on(world, store, primary))
            await _kill(world, primary)
            await asyncio.to_thread(store.wait_for_another_primary, primary, slot)
            # The new primary accepts nothing before it has a replica, which the old one becomes.
            await asyncio.to_thread(primary.start)
            await world.recovered(fault)
            await asyncio.to_thread(store.heal)


def slot_of(slug: str) -> int:
    return int(key_slot(keys_of(slug).events.encode()))


def slugs_on(world: World, store: RedisCluster, primary: RedisServer) -> list[str]:
    """The instances whose keys this member serves."""
    ranges = [(first, last) for first, last, owner in store.slots() if owner is primary]
    return [slug for slug in world.slugs if any(first <= slot_of(slug) <= last for first, last in ranges)]


@scenario(
    "F28-move",
    "Cluster: the slot of an instance moves to another primary, key by key",
    cycles=4,
    recovery_s=3.0,
)
async def move_slot(run: Run) -> None:
    store = RedisCluster(binaries()["redis"])
    async with run.world(Shape(modapis=2, uplinks=2, instances=3, rate=20), store=store) as world:
        for cycle in range(run.cycles):
            slug = world.slugs[cycle % len(world.slugs)]
            slot = slot_of(slug)
            source = await asyncio.to_thread(store.primary_of_slot, slot)
            target = next(member for member in store.primaries() if member is not source)
            fault = world.fault("slot moved", slug)
            store.open_slot(slot, target)
            await run.pause(0.5, 1.0)
            while await asyncio.to_thread(store.move_keys, slot, target, 1):
                await run.pause(0.05, 0.2)
            await run.pause(0.5, 1.0)
            await asyncio.to_thread(store.close_slot, slot, target)
            world.healed(fault)
            await world.recovered(fault)
            await run.pause(1, 2)


@scenario(
    "F29",
    "Sentinel: replicas stand still, the owner changes, the primary dies: a replica that is behind leads",
    cycles=2,
    recovery_s=7.0,
)
async def stale_replica(run: Run) -> None:
    store = SentinelSet(binaries()["redis"])
    async with run.world(Shape(modapis=2, uplinks=2), store=store) as world:
        for cycle in range(run.cycles):
            await run.pause(1, 2)
            primary = await asyncio.to_thread(store.primary)
            replicas = [member for member in store.members if member is not primary]
            fault = world.fault("replicas stood still, then the primary was killed")
            for replica in replicas:
                replica.pause()
            sleeper = world.uplinks[cycle % 2]
            os.kill(sleeper.pid, signal.SIGSTOP)
            await asyncio.sleep(7)  # its leases end, and the other uplink takes its instances
            await _kill(world, primary)
            for replica in replicas:
                replica.resume()
            await asyncio.to_thread(store.wait_for_another_primary, primary)
            os.kill(sleeper.pid, signal.SIGCONT)
            world.healed(fault)
            await world.recovered(fault)
            await asyncio.to_thread(store.heal)
