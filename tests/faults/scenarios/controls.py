"""Negative controls: without one safeguard the suite must turn red."""

from tests.faults.registry import scenario
from tests.faults.shape import Shape
from tests.faults.world import Run


@scenario(
    "N1", "negative control: events are acknowledged before Takaro's receipt", cycles=5, short=2, breaks="C"
)
async def acknowledge_before_receipt(run: Run) -> None:
    async with run.world(Shape(instances=2, rate=50.0, sabotage="early-ack")) as world:
        for _ in range(run.cycles):
            await run.pause(0.5, 1.5)
            fault = world.fault("Takaro forgets the servers")
            for slug in world.slugs:
                world.takaro.faults_of(world.identity(slug)).internal_errors()
            await world.recovered(fault)


@scenario("N2", "negative control: uplinks that look at no lease", short=1, breaks="S")
async def no_lease(run: Run) -> None:
    async with run.world(Shape(instances=2, uplinks=2, sabotage="no-lease")) as world:
        for _ in range(run.cycles):
            fault = world.fault("two owners")
            await run.pause(5.0, 6.0)
            await world.recovered(fault)


@scenario("N3", "negative control: commands are handed out once more", cycles=2, short=1, breaks="K")
async def hand_out_again(run: Run) -> None:
    async with run.world(Shape(instances=2, writes=2.0, sabotage="hand-out-again")) as world:
        for _ in range(run.cycles):
            fault = world.fault("polls get commands again")
            await run.pause(3.0, 4.0)
            await world.recovered(fault)
