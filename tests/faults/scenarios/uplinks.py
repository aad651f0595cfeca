"""F4 to F12: uplinks are killed, stopped, frozen, added or removed."""

import asyncio
import time

from services.relay.store.client import Script
from tests.faults import invariants
from tests.faults.registry import scenario
from tests.faults.shape import Shape
from tests.faults.strike import frozen, kill_at
from tests.faults.world import Run, World
from tests.support.relay_process import Service

FLEET = Shape(instances=6, uplinks=3)
TWO = Shape(instances=4, uplinks=2)

SHARED_OUT_S = 6.0
"""Two uplinks that start share the instances out 3 s after neither has joined or left, one by one."""
MOVES_WITHIN_S = 60.0


@scenario("F4", "kill one of three uplinks", cycles=15, short=3, recovery_s=7.0)
async def kill_one_uplink(run: Run) -> None:
    async with run.world(FLEET) as world:
        for _ in range(run.cycles):
            await run.pause(0.2, 1.0)
            victim = _an_owner(world)
            fault = world.fault("uplink killed", *world.owned_by(victim))
            await world.kill(victim)
            await victim.begin()
            await world.recovered(fault)


@scenario("F5", "kill all uplinks for a minute", cycles=2, recovery_s=10.0)
async def kill_all_uplinks(run: Run) -> None:
    async with run.world(TWO) as world:
        for _ in range(run.cycles):
            await asyncio.gather(*map(world.kill, world.uplinks))
            fault = world.fault("all uplinks killed")
            await run.pause(50.0, 70.0)
            waiting = sum(map(len, world.ledger.owed.values()))
            await asyncio.gather(*(uplink.begin() for uplink in world.uplinks))
            await asyncio.gather(*(uplink.until_ready() for uplink in world.uplinks))
            world.healed(fault)
            begun_s = time.monotonic()
            await world.recovered(fault)
            run.note("backlog", waiting)
            run.note("backlog drained in, s", round(time.monotonic() - begun_s, 1))


@scenario("F6", "stop one of two uplinks (a deploy)", cycles=10, short=3, recovery_s=1.5, repeats=0)
async def stop_one_uplink(run: Run) -> None:
    async with run.world(TWO) as world:
        for _ in range(run.cycles):
            await run.pause(0.5, 2.0)
            victim = _an_owner(world)
            fault = world.fault("uplink stopped", *world.owned_by(victim))
            code = await victim.stop()
            run.must(code == 0, f"a stopped uplink ends with 0; it ended with {code}")
            await world.recovered(fault)
            await victim.start()


@scenario("F7", "freeze an uplink for 15 s, past its lease", cycles=4, short=1, recovery_s=7.0)
async def freeze_past_the_lease(run: Run) -> None:
    async with run.world(Shape(instances=4, uplinks=2, rate=40.0)) as world:
        for _ in range(run.cycles):
            await run.pause(0.5, 2.0)
            victim = _an_owner(world)
            fault = world.fault("uplink frozen", *world.owned_by(victim))
            async with frozen(victim, 15.0):
                await world.recovered(fault, 15.0)
            await run.pause(3.0, 4.0)
    late = invariants.intruders(world.ledger)
    run.note("frames after the takeover", sum(map(len, late)))


@scenario("F8", "freeze an uplink for 2 s, shorter than its lease", cycles=10, recovery_s=3.0, repeats=0)
async def freeze_within_the_lease(run: Run) -> None:
    moved = 0
    async with run.world(TWO) as world:
        await world.until_settled(SHARED_OUT_S)
        for _ in range(run.cycles):
            await run.pause(0.5, 2.0)
            victim = _an_owner(world)
            owned = world.owned_by(victim)
            fault = world.fault("uplink frozen", *owned)
            async with frozen(victim, 2.0):
                pass
            world.healed(fault)
            await world.recovered(fault)
            moved += len(set(owned) - set(world.owned_by(victim)))
    run.must(moved == 0, f"no instance moves when an uplink stands still for 2 s; {moved} did")


@scenario("F9", "kill an uplink between the receipt and the ack", cycles=10, short=2, recovery_s=7.0)
async def kill_before_the_ack(run: Run) -> None:
    async with run.world(Shape(instances=4, uplinks=2, proxied=True)) as world:
        ack = Script("ack").digest.encode()
        for _ in range(run.cycles):
            await run.pause(0.5, 2.0)
            victim = _an_owner(world)
            fault = await kill_at(world, victim, "uplink killed", *world.owned_by(victim), request=ack)
            await victim.begin()
            await world.recovered(fault)


@scenario("F10", "kill an uplink between reading and sending", cycles=6, recovery_s=7.0, repeats=0)
async def kill_before_the_send(run: Run) -> None:
    # Receipts of a quiet instance come within 2 s: at this slow rate no event is under way when the next one
    # is read, and what has waited for the new owner is acknowledged after the pause.
    async with run.world(Shape(instances=1, uplinks=2, proxied=True, rate=0.3)) as world:
        for _ in range(run.cycles):
            await run.pause(2.5, 4.0)
            victim = _an_owner(world)
            # A batch comes with a hint, or as the reply to a read.
            fault = await kill_at(world, victim, "uplink killed", *world.owned_by(victim), reply=b'"type"')
            await victim.begin()
            await world.recovered(fault)


@scenario("F11", "an uplink stands still for 4 s: longer than it trusts its lease", cycles=10, recovery_s=7.0)
async def freeze_past_the_trust(run: Run) -> None:
    async with run.world(TWO) as world:
        for _ in range(run.cycles):
            await run.pause(0.5, 2.0)
            victim = _an_owner(world)
            fault = world.fault("uplink frozen", *world.owned_by(victim))
            async with frozen(victim, 4.0):
                pass
            await world.recovered(fault)


@scenario("F12", "from one uplink to four and back", cycles=2, recovery_s=1.5, repeats=0)
async def scale_out_and_in(run: Run) -> None:
    async with run.world(Shape(instances=40, uplinks=1)) as world:
        for number in range(2, 5):
            world.uplinks.append(await world.add("uplink", f"uplink-{number}"))
        for _ in range(run.cycles):
            for count in range(2, 5):
                before = dict(world.ledger.owner)
                world.fault(f"uplink {count} comes")
                await world.uplinks[count - 1].start()
                begun_s = time.monotonic()
                shared = await _until_shared(world, count)
                run.must(shared, f"{count} uplinks share 40 instances; they have {_shares(world)}")
                run.note(f"moved to uplink {count}", _moved(before, world))
                run.note(f"shared by {count} in, s", round(time.monotonic() - begun_s, 1))
            for count in range(4, 1, -1):
                leaving = world.uplinks[count - 1]
                fault = world.fault(f"uplink {count} leaves", *world.owned_by(leaving))
                await leaving.stop()
                await world.recovered(fault)


async def _until_shared(world: World, count: int) -> bool:
    """Waits until each of `count` uplinks has an instance and none has moved for 5 s. False: too late."""
    end_s = time.monotonic() + MOVES_WITHIN_S
    owners, since_s = dict(world.ledger.owner), time.monotonic()
    while time.monotonic() < end_s:
        await asyncio.sleep(0.1)
        if owners != world.ledger.owner:
            owners, since_s = dict(world.ledger.owner), time.monotonic()
        if len(set(owners.values())) == count and time.monotonic() - since_s > 5.0:
            return True
    return False


def _shares(world: World) -> list[int]:
    return [len(world.owned_by(uplink)) for uplink in world.uplinks]


def _moved(before: dict[str, str], world: World) -> int:
    return sum(world.ledger.owner[slug] != owner for slug, owner in before.items())


def _an_owner(world: World) -> Service:
    """A random uplink that has instances."""
    return world.run.chance.choice([uplink for uplink in world.uplinks if world.owned_by(uplink)])
