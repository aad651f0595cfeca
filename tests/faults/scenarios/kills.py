"""300 kills without a failure show that fewer than one kill in a hundred fails."""

import asyncio

from tests.faults.registry import scenario
from tests.faults.shape import Shape
from tests.faults.world import Run

WORLDS = 2
FLEET = Shape(instances=6, uplinks=3, modapis=2, rate=10.0, writes=0.5)


@scenario(
    "kills",
    "an uplink and a modapi are killed, again and again, in two fleets of 3 uplinks and 2 modapis",
    cycles=280,
    recovery_s=7.0,
    within_s=3600.0,
)
async def kill_and_kill(run: Run) -> None:
    await asyncio.gather(*(_kill_a_fleet(run, run.cycles // WORLDS) for _ in range(WORLDS)))


async def _kill_a_fleet(run: Run, cycles: int) -> None:
    async with run.world(FLEET) as world:
        for _ in range(cycles):
            uplink = run.chance.choice([uplink for uplink in world.uplinks if world.owned_by(uplink)])
            modapi = run.chance.choice(world.modapis)
            fault = world.fault("uplink killed", *world.owned_by(uplink))
            await world.kill(uplink)
            await uplink.begin()
            await run.pause(0.0, 3.0)
            world.fault("modapi killed")
            await world.kill(modapi)
            await modapi.begin()
            await asyncio.gather(uplink.until_ready(), modapi.until_ready(), world.recovered(fault))
            await run.pause(0.0, 1.0)
