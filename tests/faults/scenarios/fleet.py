"""300 servers on one machine with a Cluster, while services and members are killed in turn."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.faults.registry import scenario
from tests.faults.scenarios.redis_sets import slot_of, slugs_on
from tests.faults.shape import Shape
from tests.faults.world import Run, World
from tests.support.redis_server import RedisServer, binaries
from tests.support.redis_sets import RedisCluster
from tests.support.relay_process import Service

SERVERS = 300
ALL_WITHIN_S = 30.0

FLEET = Shape(instances=SERVERS, modapis=2, uplinks=3, rate=0.3, writes=0.02, flush_s=1.0, poll_s=2.0)
"""The pace of a real mod: it flushes each second, polls every 2 s, and has an event every few seconds."""


@scenario(
    "fleet300",
    "300 servers, two modapis, three uplinks, a Cluster of 3 + 3: every member is killed in turn",
    recovery_s=10.0,
    within_s=1_200.0,
)
async def fleet(run: Run) -> None:
    store = RedisCluster(binaries()["redis"])
    async with run.world(FLEET, store=store) as world:
        begun_s = time.monotonic()
        for _ in range(run.cycles):
            for modapi in world.modapis:
                await _restart(world, modapi, world.slugs)
            for uplink in world.uplinks:
                await _restart(world, uplink, world.owned_by(uplink))
            for member in store.members:
                await _restart_member(world, store, member)
        run.note("minutes of killing", round((time.monotonic() - begun_s) / 60, 1))
        run.note(
            "instances of each uplink at the end", [len(world.owned_by(uplink)) for uplink in world.uplinks]
        )


async def _restart(world: World, service: Service, affected: list[str]) -> None:
    async with _killed(world, f"{service.label} killed", affected):
        await world.kill(service)
        await service.begin()
    await service.until_ready()
    await world.run.pause(5, 8)


async def _restart_member(world: World, store: RedisCluster, member: RedisServer) -> None:
    affected = await asyncio.to_thread(slugs_on, world, store, member)
    async with _killed(world, "member of the Cluster killed", affected):
        world.run.outcome.kills["redis"] += 1
        await asyncio.to_thread(member.kill)
        if affected:
            await asyncio.to_thread(store.wait_for_another_primary, member, slot_of(affected[0]))
        await asyncio.to_thread(member.start)
    await asyncio.to_thread(store.heal)


@asynccontextmanager
async def _killed(world: World, name: str, affected: list[str]) -> AsyncIterator[None]:
    """Makes each affected instance have an event at once: its next one may be seconds away."""
    fault = world.fault(name, *affected)
    for slug in affected:
        world.mods[slug].happen()
    yield
    await world.recovered(fault, ALL_WITHIN_S)
