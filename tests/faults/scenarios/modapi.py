"""F1 to F3: modapi is killed, stopped or frozen, or its answers are lost."""

import asyncio
import time

from services.relay.protocol.command_states import MAY_HAVE_RUN
from services.relay.store.client import Script
from tests.faults.registry import scenario
from tests.faults.shape import Shape
from tests.faults.strike import frozen, kill_at
from tests.faults.world import Run, World
from tests.support.relay_process import Service


@scenario("F1", "kill one of two modapis at any moment", cycles=25, short=3, recovery_s=3.0)
async def kill_one_modapi(run: Run) -> None:
    async with run.world(Shape(modapis=2)) as world:
        for _ in range(run.cycles):
            await run.pause(0.2, 1.0)
            victim = run.chance.choice(world.modapis)
            fault = world.fault("modapi killed")
            await world.kill(victim)
            await world.recovered(fault)
            await victim.start()


@scenario("F2", "kill modapi between append and answer", cycles=20, short=3, recovery_s=3.0, repeats=0)
async def kill_modapi_before_its_answer(run: Run) -> None:
    async with run.world(Shape(modapis=2, proxied=True)) as world:
        for cycle in range(run.cycles):
            await run.pause(0.2, 1.0)
            victim = world.modapis[cycle % 2]
            append = Script("append").digest.encode()
            fault = await kill_at(world, victim, "modapi killed", request=append, reply=b"accepted")
            await world.recovered(fault)
            await victim.start()


@scenario(
    "F3",
    "stop one of two modapis with requests under way and half a body",
    cycles=5,
    recovery_s=2.0,
    repeats=0,
)
async def stop_modapi_with_half_a_body(run: Run) -> None:
    slowest_s = 0.0
    async with run.world(Shape(modapis=2)) as world:
        for cycle in range(run.cycles):
            await run.pause(0.2, 1.0)
            victim = world.modapis[cycle % 2]
            half = asyncio.create_task(_post_half(world, victim))
            await asyncio.sleep(0.2)
            fault, begun_s = world.fault("modapi stopped"), time.monotonic()
            code = await victim.stop()
            slowest_s = max(slowest_s, time.monotonic() - begun_s)
            run.must(code == 0, f"a stopped modapi ends with 0; it ended with {code}")
            run.must(b" 200 " not in await half, "half a body is never accepted")
            await world.recovered(fault)
            await victim.start()
    run.must(slowest_s <= 8.0, f"a modapi stops within 8 s; one needed {slowest_s:.1f} s")
    run.note("slowest stop, s", round(slowest_s, 1))


MOD_WAITS_S = 5.0
"""The shortest time-out of a mod that was seen (protocol.md M6)."""


@scenario(
    "F3-frozen",
    "freeze one of two modapis for longer than mods wait; half of the times their hang-ups are not seen",
    cycles=20,
    short=2,
    recovery_s=3.0,
    repeats=0,
)
async def freeze_one_modapi(run: Run) -> None:
    async with run.world(Shape(modapis=2, writes=2.0, mod_waits_s=MOD_WAITS_S)) as world:
        for cycle in range(run.cycles):
            await run.pause(0.2, 1.0)
            world.front.hides_ends = cycle % 2 == 1
            fault = world.fault("modapi frozen")
            async with frozen(world.modapis[cycle // 2 % 2], MOD_WAITS_S + run.chance.uniform(1.5, 3.0)):
                pass
            world.healed(fault)
            await world.recovered(fault)
        world.front.hides_ends = False
        ran = {(one.instance, one.number) for one in world.ledger.executions}
        vanished = [
            one
            for mark, one in world.ledger.requests.items()
            if one.error == MAY_HAVE_RUN and mark not in ran
        ]
        run.note("writes handed to a mod that was gone", len(vanished))


@scenario(
    "F2-unheard",
    "a proxy in front of modapi loses the answers to batches that were stored",
    cycles=20,
    short=2,
    recovery_s=6.0,
    repeats=0,
)
async def lose_answers_to_batches(run: Run) -> None:
    # Batches of many events: a repeat of a single event looks like a new, equal event.
    shape = Shape(modapis=2, rate=40.0, flush_s=0.5, writes=0.0, mod_waits_s=4.0)
    async with run.world(shape) as world:
        for _ in range(run.cycles):
            await run.pause(0.2, 1.0)
            fault = world.fault("answers lost")
            world.front.drop_replies = True
            await run.pause(1.6, 2.0)  # a mod waits 1 s for permission to send a long body
            world.front.drop_replies = False
            world.healed(fault)
            await world.recovered(fault)
        requeued = sum(mod.counters.requeued for mod in world.mods.values())
        run.must(
            requeued >= run.cycles, f"at least {run.cycles} batches are sent again; there were {requeued}"
        )
        run.note("batches sent again", requeued)


async def _post_half(world: World, modapi: Service) -> bytes:
    """Sends the first half of a POST of events, and returns the answer of modapi."""
    host, port = world.address_of(modapi)
    reader, writer = await asyncio.open_connection(host, port)
    key = world.mod_key(world.slugs[0])
    writer.write(
        f"POST /k/{key}/gameserver/local/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n".encode()
    )
    writer.write(b'{"events":[{"type":"log","msg":"half')
    try:
        async with asyncio.timeout(20.0):
            return await reader.read(4096)
    except ConnectionError:
        return b""
    finally:
        writer.close()
