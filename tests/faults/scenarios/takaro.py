"""F32 to F41, F56, F57: faults of Takaro, and load that it must not get."""

import asyncio
import contextlib
import time
from collections import Counter

import orjson
from websockets.asyncio.client import ClientConnection, connect

from services.sim.takaro.socket import SimSocket
from tests.faults.ledger import Arrival
from tests.faults.oracle import POISON
from tests.faults.registry import scenario
from tests.faults.shape import Shape
from tests.faults.world import REGISTRATION_TOKEN, Run, World

REPORTED = "identity token? Stop it"
"""Part of the warning of an uplink when another client has identified with its identity."""


@scenario("F32", "Takaro accepts and closes at once", cycles=2, short=1, recovery_s=65.0)
async def accept_then_close(run: Run) -> None:
    async with run.world(Shape(instances=4)) as world:
        for _ in range(run.cycles):
            fault = world.fault("accepts and closes")
            world.takaro.faults.kill_early = True
            world.takaro.drop_connections()
            await asyncio.sleep(6.0)  # the first attempts follow each other quickly
            before, begun_s = world.takaro.connections, time.monotonic()
            await run.pause(8.0, 10.0)
            rate = (world.takaro.connections - before) / (time.monotonic() - begun_s) / len(world.slugs)
            run.must(rate <= 1.0, f"an instance dials at most once a second; it dialled {rate:.1f} times")
            run.note("dials a second and instance", round(rate, 2))
            world.takaro.faults.kill_early = False
            world.healed(fault)
            await world.recovered(fault, 60.0)


@scenario("F33", "Takaro is away for two minutes, for 60 instances", recovery_s=75.0)
async def takaro_away(run: Run) -> None:
    async with run.world(Shape(instances=60, uplinks=2, rate=1.0, writes=0.0)) as world:
        fault = world.fault("Takaro away")
        world.takaro.faults.kill_early = True
        world.takaro.drop_connections()
        await asyncio.sleep(120.0)
        world.takaro.faults.kill_early = False
        world.healed(fault)
        back_s = time.monotonic()
        await world.recovered(fault, 120.0)
        seconds = Counter(int(at.at_s - back_s) for at in world.ledger.identifies if at.at_s > back_s)
        most = max(seconds.values(), default=0)
        run.note("most identifies in a second", f"{most} of 60")
        run.must(most <= 12, f"reconnects are spread; {most} of 60 came in one second")


@scenario("F34", "Takaro stops reading for 20 s", cycles=2, recovery_s=20.0)
async def stop_reading(run: Run) -> None:
    async with run.world(Shape(instances=2, rate=50.0)) as world:
        for _ in range(run.cycles):
            fault = world.fault("Takaro does not read")
            dialled = world.takaro.connections
            world.takaro.faults.stop_reading()
            begun_s = time.monotonic()
            while world.takaro.connections == dialled and time.monotonic() < begun_s + 20.0:
                await asyncio.sleep(0.05)
            run.note("noticed after, s", round(time.monotonic() - begun_s, 1))
            await asyncio.sleep(max(0.0, begun_s + 20.0 - time.monotonic()))
            run.must(
                world.takaro.connections > dialled, "uplink notices within 20 s that Takaro no longer reads"
            )
            world.takaro.faults.resume_reading()
            world.healed(fault)
            await world.recovered(fault, 60.0)


@scenario("F35", "the way to Takaro swallows everything for 20 s", cycles=2, recovery_s=25.0)
async def black_hole(run: Run) -> None:
    async with run.world(Shape(instances=2, rate=50.0, takaro_proxied=True)) as world:
        way = world.takaro_of["uplink-1"]
        for _ in range(run.cycles):
            fault = world.fault("black hole")
            way.passing.clear()
            await asyncio.sleep(20.0)
            way.reset()  # what was under way is lost with the path
            way.passing.set()
            world.healed(fault)
            await world.recovered(fault, 60.0)


@scenario(
    "F36", "Takaro drops the socket after an event, before its pong", cycles=8, short=4, recovery_s=65.0
)
async def drop_before_the_pong(run: Run) -> None:
    """If a socket is lost within 30 s, the delay before the next dial grows, up to a minute."""
    async with run.world(Shape(instances=2, rate=50.0)) as world:
        for _ in range(run.cycles):
            await run.pause(0.3, 1.0)
            slug = run.chance.choice(world.slugs)
            dropped = asyncio.get_running_loop().create_future()

            def drop(
                socket: SimSocket, arrival: Arrival, slug: str = slug, dropped: asyncio.Future[None] = dropped
            ) -> None:
                if arrival.instance == slug and not dropped.done():
                    socket.tear()
                    dropped.set_result(None)

            fault = world.fault("dropped before the pong", slug)
            world.takaro.on_event = drop
            await dropped
            await world.recovered(fault)
    run.must(
        run.outcome.repeated or run.cycles < 10,
        "some events were repeated (otherwise the fault had no effect)",
    )


@scenario(
    "F37", "Takaro loses the server: for 0.2 s, and until an identify", cycles=15, short=2, recovery_s=8.0
)
async def emitter_gap(run: Run) -> None:
    async with run.world(Shape(instances=2, rate=30.0)) as world:
        for cycle in range(run.cycles):
            await run.pause(1.0, 2.0)
            slug = run.chance.choice(world.slugs)
            identity = world.identity(slug)
            fault = world.fault("emitter gap", slug)
            if cycle % 2:
                world.takaro.faults_of(identity).internal_errors()
            else:
                world.takaro.faults_of(identity).internal_errors()
                await asyncio.sleep(0.2)
                world.takaro.faults_of(identity).internal_errors(0)
            await world.recovered(fault)
    run.must(world.ledger.refused, "Takaro refused some events (otherwise the fault had no effect)")


@scenario("F38", "a poisoned event in a full window", cycles=15, short=3, recovery_s=3.0, repeats=0)
async def poison(run: Run) -> None:
    async with run.world(Shape(instances=2, rate=60.0)) as world:
        for cycle in range(run.cycles):
            await run.pause(0.3, 0.8)
            slug = run.chance.choice(world.slugs)
            fault = world.fault("poison", slug)
            world.mods[slug].log(f"{POISON} {cycle}")
            await world.recovered(fault)
    run.must(
        len(world.ledger.refused) == run.cycles,
        f"each of {run.cycles} poisoned events is refused once; {len(world.ledger.refused)} refusals came",
    )


@scenario("F39", "error frames come after the pong", cycles=4, short=2, recovery_s=65.0)
async def error_after_the_pong(run: Run) -> None:
    async with run.world(Shape(instances=2, rate=50.0)) as world:
        world.takaro.faults.error_delay_s = 0.02
        for _ in range(run.cycles):
            await run.pause(1.0, 2.0)
            slug = run.chance.choice(world.slugs)
            fault = world.fault("late errors", slug)
            world.takaro.faults_of(world.identity(slug)).internal_errors()
            await world.recovered(fault)
    run.must(world.ledger.refused, "Takaro refused some events (otherwise the fault had no effect)")


@scenario("F40", "Takaro refuses one identity: for a while, and for good", cycles=1)
async def refused_identity(run: Run) -> None:
    async with run.world(Shape(instances=4)) as world:
        for text, seconds in (("", 15.0), ("Invalid registrationToken provided", 30.0)):
            slug = run.chance.choice(world.slugs)
            others = [other for other in world.slugs if other != slug]
            refusing = world.takaro.faults_of(world.identity(slug))
            begun_s, dialled = time.monotonic(), world.takaro.connections
            refusing.refuse_identify(text)
            world.takaro.drop_connections(world.identity(slug))
            slowest_s = 0.0
            while time.monotonic() - begun_s < seconds:
                fault = world.fault("refused identity", *others)
                asked_s = time.monotonic()
                run.must(await world.recovered(fault), "the other instances are served while one is refused")
                slowest_s = max(slowest_s, time.monotonic() - asked_s)
                await asyncio.sleep(0.5)
            attempts = world.takaro.connections - dialled
            run.must(
                attempts <= seconds, f"at most one attempt a second; there were {attempts} in {seconds:.0f} s"
            )
            run.note(f"attempts in {seconds:.0f} s", attempts)
            run.note("slowest of the others, s", round(slowest_s, 2))
            run.must(
                slowest_s < 2.0,
                f"the other instances need less than 2 s meanwhile; one needed {slowest_s:.1f} s",
            )
            refusing.accept_identify()
            if text:  # the operator corrects the token and restarts
                await world.uplinks[0].stop()
                await world.uplinks[0].start()
            fault = world.fault("accepted again", slug)
            run.must(await world.recovered(fault, 90.0), "an instance that was refused is served again")


@scenario("F41", "an old bridge identifies with the same identity", within_s=900.0, repeats=0)
async def outside_client(run: Run) -> None:
    shape = Shape(instances=2, writes=0.0, takaro={"sync_s": 10.0})
    async with run.world(shape) as world:
        slug = world.slugs[0]
        before = len(_identifies(world, slug))
        await asyncio.sleep(15.0)  # by now Takaro has asked our socket once
        bridge = asyncio.create_task(_old_bridge(world, slug))
        begun_s = time.monotonic()
        while REPORTED not in world.uplinks[0].log and time.monotonic() - begun_s < 400.0:
            await asyncio.sleep(1.0)
        run.note("reported after, s", round(time.monotonic() - begun_s))
        await asyncio.sleep(60.0)
        run.must(not bridge.done(), "the old bridge stayed connected (otherwise the fault had no effect)")
        bridge.cancel()
        await asyncio.gather(bridge, return_exceptions=True)
        run.must(world.uplinks[0].log.count(REPORTED) == 1, "the other client is reported once")
        identifies = len(_identifies(world, slug)) - before
        run.note("identifies of ours meanwhile", identifies)
        run.must(identifies <= 2, f"uplink does not fight for the identity; it identified {identifies} times")
        await world.uplinks[0].stop()  # without the bridge, the operator need not wait an hour
        await world.uplinks[0].start()


@scenario(
    "F56", "six players write 50 chat lines each in 0.4 s, one after the other", cycles=20, short=5, repeats=0
)
async def bursts_of_chat(run: Run) -> None:
    """125 lines a second are written, and 20 a second of each player may be sent: no line expires, and no
    other player waits."""
    async with run.world(Shape(instances=2, rate=5.0)) as world:
        mod = world.mods[world.slugs[0]]
        for _ in range(run.cycles):
            for player in mod.players[:6]:
                for _ in range(50):
                    mod.chat(player)
                await asyncio.sleep(0.4)
            fault = world.fault("six bursts")
            await world.recovered(fault)
    run.note("chat lines", run.cycles * 300)


@scenario("F57", "internal errors come after the second of two pongs", cycles=20, short=3, recovery_s=65.0)
async def error_after_two_pongs(run: Run) -> None:
    """Takaro was never seen to do this (protocol.md T7). It might, near to us and under load.

    If a socket is disowned again within 30 s, the delay before the next identify grows, up to a minute.
    """
    async with run.world(Shape(instances=2, rate=60.0)) as world:
        world.takaro.faults.pongs_overtake = True
        world.takaro.faults.error_delay_s = 0.05
        for _ in range(run.cycles):
            await run.pause(0.5, 1.5)
            slug = run.chance.choice(world.slugs)
            fault = world.fault("late internal errors", slug)
            world.takaro.faults_of(world.identity(slug)).internal_errors()
            await world.recovered(fault)
    run.must(world.ledger.refused, "Takaro refused some events (otherwise the fault had no effect)")


def _identifies(world: World, slug: str) -> list[float]:
    """The times at which our own uplinks identified the instance."""
    return [
        one.at_s
        for one in world.ledger.identifies
        if one.instance == slug and one.uplink.startswith("uplink")
    ]


async def _old_bridge(world: World, slug: str) -> None:
    """Identifies again after each identify of ours, so that Takaro asks it. It answers no request."""
    async with connect(f"{world.takaro.url}bridge", compression=None, proxy=None) as socket:
        ours = -1
        while True:
            if (count := len(_identifies(world, slug))) != ours:
                ours = count
                await _identify(socket, world.identity(slug))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await socket.recv()


async def _identify(socket: ClientConnection, identity: str) -> None:
    payload = {"identityToken": identity, "registrationToken": REGISTRATION_TOKEN, "name": "Old bridge"}
    await socket.send(orjson.dumps({"type": "identify", "payload": payload}).decode())
