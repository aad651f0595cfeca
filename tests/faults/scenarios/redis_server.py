"""F13 to F24, F30, F31: one Redis or Valkey is killed, filled or emptied; its clock or connections fail."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx

from services.relay.protocol.keys import keys_of
from tests.faults import marks
from tests.faults.inject.clock import WrongClock
from tests.faults.inject.disk import SmallDisk, aof_bytes, busy_disk, failing_sync, slow_sync, tear_tail
from tests.faults.registry import scenario
from tests.faults.shape import Shape
from tests.faults.world import Run, World
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer, binaries
from tests.support.relay_process import Service
from tests.support.waiting import until

POST_WITHIN_S = 3.0
"""A mod's POST must be answered well within this time (protocol.md M6)."""

SUPERVISED_S = 0.2
RETRIED_S = 20.0
SAID_WITHIN_S = 3.0
WORST_MOMENT_WITHIN_S = 5.0


@scenario(
    "F13", "kill -9 Valkey (`appendfsync always`), started again at once", cycles=60, short=3, recovery_s=3.0
)
async def kill_valkey(run: Run) -> None:
    await _kill_server(run, "valkey")


@scenario(
    "F13-redis", "kill -9 Redis (`appendfsync always`), started again at once", cycles=60, recovery_s=3.0
)
async def kill_redis(run: Run) -> None:
    await _kill_server(run, "redis")


async def _kill_server(run: Run, binary: str) -> None:
    async with run.world(Shape(binary=binary)) as world:
        for _ in range(run.cycles):
            await run.pause(0.1, 0.8)
            fault = world.fault("Redis killed")
            await world.kill_store()
            await world.recovered(fault)
        # Without an uplink, all accepted events are in Redis alone.
        await world.uplinks[0].stop()
        faults = []
        for _ in range(run.cycles // 2):
            await run.pause(0.1, 0.5)
            faults.append(world.fault("Redis killed, events wait in it"))
            await world.kill_store()
        run.note("events that waited in Redis through kills", len(world.ledger.lost))
        await world.uplinks[0].start()
        for fault in faults:
            world.healed(fault)
            await world.recovered(fault)


@scenario(
    "F14",
    "negative control: kill -9 with `appendfsync everysec` and a busy disk",
    cycles=25,
    breaks="C",
)
async def kill_redis_with_everysec(run: Run) -> None:
    shape = Shape(
        binary="redis", rate=40, server={"appendfsync": "everysec"}, redis_toml='durability = "relaxed"'
    )
    async with run.world(shape) as world:
        await world.uplinks[0].stop()
        with busy_disk(world.store.folder):
            for attempt in range(1, run.cycles + 1):
                await run.pause(0.5, 1.0)
                await _answered_before_written(world)
                world.fault("Redis killed")
                run.outcome.kills["redis"] += 1
                await asyncio.to_thread(world.store.kill)
                accepted = {
                    (slug, number) for slug, numbers in world.ledger.owed.items() for number in numbers
                }
                await asyncio.to_thread(world.store.start)
                if lost := accepted - await _stored(world):
                    run.note("kills until the first loss", attempt)
                    run.note("lost with it", len(lost))
                    break
        await world.uplinks[0].start()


async def _answered_before_written(world: World) -> None:
    """Waits, for a limited time, until Redis holds back its writes because a sync is under way."""
    deadline_s = time.monotonic() + WORST_MOMENT_WITHIN_S
    while time.monotonic() < deadline_s:
        told = world.store.ask("INFO", "persistence")
        if told["aof_pending_bio_fsync"] and told["aof_buffer_length"]:
            await asyncio.sleep(0.05)  # the answers have been sent by now
            return
        await asyncio.sleep(0.001)


async def _stored(world: World) -> set[tuple[str, int]]:
    """The events that are in Redis, by instance and number."""
    found = set()
    for slug in world.slugs:
        for _, entry in await asyncio.to_thread(world.store.ask, "XRANGE", keys_of(slug).events, "-", "+"):
            text = entry["events"] if isinstance(entry, dict) else entry[1]
            found |= {(slug, mark.number) for mark in marks.read_all(text)}
    return found


@scenario("F15", "syncs that take 0.2, 1 and 3 s, and one that fails", recovery_s=4.0)
async def slow_disk(run: Run) -> None:
    async with run.world() as world:
        for _ in range(run.cycles):
            for delay_s in (0.2, 1.0, 3.0):
                posts = _posts(world)
                fault = world.fault(f"syncs take {delay_s} s")
                with slow_sync(world.store.pid, delay_s):
                    await run.pause(8, 9)
                world.healed(fault)
                run.must(await world.recovered(fault), f"events flow again after syncs of {delay_s} s")
                longest_s = _longest_post_s(world, posts)
                run.note(f"longest POST with syncs of {delay_s:g} s", f"{longest_s:.2f} s")
                run.must(longest_s < POST_WITHIN_S + 0.5, "a mod's POST is answered in time")
            fault = world.fault("a sync fails")
            with failing_sync(world.store.pid):
                async with asyncio.timeout(RETRIED_S):
                    while world.store.running:
                        await asyncio.sleep(0.05)
            await asyncio.to_thread(world.store.start)
            world.healed(fault)
            await world.recovered(fault)


def _longest_post_s(world: World, since: dict[str, int]) -> float:
    """The longest time that a mod has waited for the answer to a POST of events since `_posts(world)`."""
    return max(took_s for slug, mod in world.mods.items() for took_s in mod.post_took_s[since[slug] :])


def _posts(world: World) -> dict[str, int]:
    """The number of POSTs of events so far, by instance."""
    return {slug: len(mod.post_took_s) for slug, mod in world.mods.items()}


@scenario(
    "F16", "the disk of Redis is full, then freed; a supervisor starts Redis again", cycles=3, recovery_s=3.0
)
async def full_disk(run: Run) -> None:
    disk = SmallDisk(16)
    store = RedisServer(binaries()["redis"], folder=disk.folder / "redis", port=str(free_port()))
    try:
        async with run.world(store=store) as world, _supervised(store):
            for _ in range(run.cycles):
                before = _requeued(world)
                fault = world.fault("disk full")
                disk.fill(leave_bytes=20_000)
                async with asyncio.timeout(RETRIED_S):
                    while _requeued(world) == before:
                        await asyncio.sleep(0.05)
                await run.pause(2, 4)
                disk.clear()
                world.healed(fault)
                await world.recovered(fault)
            run.note("batches that mods had to keep", _requeued(world))
    finally:
        disk.remove()


def _requeued(world: World) -> int:
    return sum(mod.counters.requeued for mod in world.mods.values())


@asynccontextmanager
async def _supervised(store: RedisServer) -> AsyncIterator[None]:
    """Starts the server again whenever it has ended, as systemd does."""

    async def watch() -> None:
        while True:
            if not store.running:
                store.begin()
            await asyncio.sleep(SUPERVISED_S)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait([watching])


@scenario(
    "F17", "Redis is killed in the middle of a write: the end of its file is torn", cycles=20, recovery_s=3.0
)
async def torn_tail(run: Run) -> None:
    async with run.world(Shape(proxied=True)) as world:
        torn = 0
        for _ in range(run.cycles):
            await run.pause(0.2, 0.6)
            proxy = world.redis_of["modapi-1"]
            # No write gets an answer from here on, so no accepted event can be torn off.
            proxy.drop_replies = True
            sound = aof_bytes(world.store.folder)
            await run.pause(0.2, 0.8)
            fault = world.fault("Redis killed, its file torn")
            run.outcome.kills["redis"] += 1
            await asyncio.to_thread(world.store.kill)
            proxy.reset()
            proxy.drop_replies = False
            written = aof_bytes(world.store.folder) - sound
            torn += tear_tail(world.store.folder, run.chance.randint(0, written))
            await asyncio.to_thread(world.store.start)
            await world.recovered(fault)
        run.note("bytes torn off", torn)


@scenario("F18", "Redis at maxmemory: appends wait, what is owned drains it", cycles=2, recovery_s=20.0)
async def full_memory(run: Run) -> None:
    # Recovery ends with the first event behind those that waited, and events of one player leave with gaps.
    async with run.world(Shape(rate=20)) as world:
        for _ in range(run.cycles):
            identified, before = len(world.ledger.identifies), _requeued(world)
            fault = world.fault("memory full")
            world.store.ask("CONFIG", "SET", "maxmemory", "1mb")
            await run.pause(7, 8)  # longer than a lease
            run.must(_requeued(world) > before, "appends are refused when memory is full")
            run.must(not world.ledger.lost, "waiting events are delivered while memory is full")
            world.store.ask("CONFIG", "SET", "maxmemory", "0")
            world.healed(fault)
            await world.recovered(fault)
            run.must(
                len(world.ledger.identifies) == identified,
                "the sockets to Takaro are kept while memory is full",
            )

            # The relay fills the memory itself. Then only uplink is started, and nothing else is done.
            await world.uplinks[0].stop()
            used = int(world.store.ask("INFO", "memory")["used_memory"])
            world.store.ask("CONFIG", "SET", "maxmemory", str(used + (1 << 19)))
            fault, before = world.fault("memory full of events"), _requeued(world)
            async with asyncio.timeout(3 * RETRIED_S):
                while _requeued(world) == before:
                    await asyncio.sleep(0.05)
            run.note("events waiting when memory was full", len(world.ledger.lost))
            await world.uplinks[0].start()
            world.healed(fault)
            run.must(await world.recovered(fault), "a memory full of events drains by itself")
            world.store.ask("CONFIG", "SET", "maxmemory", "0")


WRONG = {
    "maxmemory-policy": ("allkeys-lru", "noeviction"),
    "appendonly": ("no", "yes"),
    "appendfsync": ("everysec", "always"),
    "no-appendfsync-on-rewrite": ("yes", "no"),
}


@scenario(
    "F19", "a Redis that may lose events: wrong settings, or a replica, at start and later", recovery_s=20.0
)
async def wrong_settings(run: Run) -> None:
    async with run.world() as world:
        for name, (wrong, right) in WRONG.items():
            await _refused_at_start(
                run, world, ("CONFIG", "SET", name, wrong), ("CONFIG", "SET", name, right), name
            )
        await _refused_at_start(
            run, world, ("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "replica"
        )

        fault = world.fault("appendfsync set to everysec while the relay runs")
        world.store.ask("CONFIG", "SET", "appendfsync", "everysec")
        for service in world.services:
            reason = await _until_unready(service)
            run.must(
                "appendfsync" in reason,
                f"/readyz of {service.label} names appendfsync; it says {reason[:200]!r}",
            )
        accepted = len(world.ledger.accepted)
        await run.pause(2, 3)
        run.must(len(world.ledger.accepted) == accepted, "no event is accepted while Redis may lose it")
        world.store.ask("CONFIG", "SET", "appendfsync", "always")
        world.healed(fault)
        run.must(await world.recovered(fault), "events are accepted again after the setting is corrected")


async def _refused_at_start(
    run: Run, world: World, spoil: tuple[str, ...], mend: tuple[str, ...], name: str
) -> None:
    fault = world.fault(f"restart with a wrong {name}")
    await asyncio.gather(*(service.stop() for service in world.services))
    world.store.ask(*spoil)
    for service in world.services:
        said = len(service.log)
        await service.begin()
        reason = await _until_unready(service)
        words = reason + service.log[said:]
        run.must(name in words, f"{service.label} names {name} when it refuses; it says {words[-300:]!r}")
    world.store.ask(*mend)
    for service in world.services:
        if not service.running:
            await service.begin()
        await service.until_ready()
    world.healed(fault)
    await world.recovered(fault)


async def _until_unready(service: Service, within_s: float = 20.0) -> str:
    """The reason that /readyz gives; "" if the process ended or stays ready."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s), httpx.AsyncClient(verify=False) as client:
            while service.running:
                with contextlib.suppress(httpx.HTTPError):
                    answer = await client.get(f"{service.admin}/readyz")
                    if answer.status_code == 503:
                        return answer.text
                await asyncio.sleep(0.05)
    return ""


@scenario("F20", "Redis stands still for 1, 4 and 10 s", cycles=2, short=1, recovery_s=3.0)
async def frozen(run: Run) -> None:
    async with run.world() as world:
        identified = len(world.ledger.identifies)
        for _ in range(run.cycles):
            for still_s in (1, 4, 10):
                fault = world.fault(f"Redis stood still for {still_s} s")
                with world.store.stopped():
                    await asyncio.sleep(still_s)
                world.healed(fault)
                await world.recovered(fault)
        run.must(len(world.ledger.identifies) == identified, "the sockets to Takaro are kept")


@scenario("F21", "replies of Redis are lost: done, and nobody knows", cycles=15, short=3, recovery_s=3.0)
async def lost_replies(run: Run) -> None:
    async with run.world(Shape(proxied=True)) as world:
        for cycle in range(run.cycles):
            await run.pause(0.2, 0.6)
            proxies = [*world.redis_of.values()][cycle % 3 - 1 :][: 1 + (cycle % 3 == 0)]
            fault = world.fault("replies lost")
            for proxy in proxies:
                proxy.drop_replies = True
            await run.pause(0.1, 2.5)
            for proxy in proxies:
                proxy.reset()  # otherwise later replies would be taken for the lost ones
                proxy.drop_replies = False
            world.healed(fault)
            await world.recovered(fault)


@scenario(
    "F22", "connections to Redis are reset, cut within a reply, or go silent", cycles=400, recovery_s=5.0
)
async def broken_connections(run: Run) -> None:
    async with run.world(Shape(proxied=True)) as world:
        proxies = [*world.redis_of.values()]
        fault = world.fault("connections reset and cut")
        for cycle in range(run.cycles):
            proxy = run.chance.choice(proxies)
            if cycle % 4:
                proxy.reset()
            else:
                proxy.cut_after_bytes = run.chance.randint(1, 2_000)
            await run.pause(0.02, 0.1)
            proxy.cut_after_bytes = None
        world.healed(fault)
        await world.recovered(fault)
        for proxy in proxies:
            fault = world.fault("connections silent")
            proxy.passing.clear()
            await run.pause(5, 7)
            proxy.reset()
            proxy.passing.set()
            world.healed(fault)
            await world.recovered(fault)


@scenario("F23", "Redis answers after 50 to 300 ms, each hundredth time after 2 s", recovery_s=5.0)
async def slow_redis(run: Run) -> None:
    def late_s() -> float:
        return 2.0 if run.chance.random() < 0.01 else run.chance.uniform(0.05, 0.3)

    async with run.world(Shape(proxied=True)) as world:
        identified = len(world.ledger.identifies)
        posts = _posts(world)
        fault = world.fault("Redis is slow")
        for proxy in world.redis_of.values():
            proxy.jitter = late_s
        await run.pause(30, 31)
        for proxy in world.redis_of.values():
            proxy.jitter = lambda: 0.0
        world.healed(fault)
        await world.recovered(fault)
        run.must(len(world.ledger.identifies) == identified, "the sockets to Takaro are kept")
        longest_s = _longest_post_s(world, posts)
        run.must(
            longest_s < POST_WITHIN_S + 0.5, f"a mod's POST is answered in time; one took {longest_s:.2f} s"
        )


@scenario("F24", "the script cache is flushed all the time")
async def flushed_scripts(run: Run) -> None:
    async with run.world(Shape(rate=20)) as world:
        before = _requeued(world)
        world.fault("scripts flushed")
        end_s = time.monotonic() + 15
        flushes = 0
        while time.monotonic() < end_s:
            world.store.ask("SCRIPT", "FLUSH")
            flushes += 1
            await run.pause(0.0, 0.02)
        run.note("flushes", flushes)
        run.must(_requeued(world) == before, "no mod has to repeat a batch because scripts are flushed")


@scenario("F31", "FLUSHALL: Redis is emptied", cycles=3, recovery_s=10.0)
async def flushed(run: Run) -> None:
    async with run.world(Shape(instances=3)) as world:
        for _ in range(run.cycles):
            await run.pause(0.5, 1.0)
            # FLUSHALL deletes waiting events: none may wait.
            world.front.passing.clear()
            with contextlib.suppress(TimeoutError):
                await world.takaro.wait_for(lambda: not world.ledger.lost, RETRIED_S)
            said = {service: len(service.log) for service in world.services}
            fault = world.fault("Redis emptied")
            world.store.ask("FLUSHALL")
            world.front.passing.set()
            world.healed(fault)
            await world.recovered(fault)

            def heard() -> bool:
                return any(" ERROR " in service.log[before:] for service, before in said.items())  # noqa: B023

            with contextlib.suppress(TimeoutError):  # uplinks look each second
                await until(heard, SAID_WITHIN_S)
            run.must(heard(), "a service logs an error that Redis was emptied")
        run.must(
            all(service.starts == 1 and service.running for service in world.services), "no service crashes"
        )


@scenario(
    "F30",
    "the clock of Redis jumps by a minute, forth and back; leases last for hours, or end at once",
    cycles=2,
    recovery_s=15.0,
)
async def wrong_clock(run: Run) -> None:
    clock = WrongClock()
    store = RedisServer(binaries()["redis"], prefix=clock.prefix, port=str(free_port()))
    try:
        async with run.world(Shape(uplinks=2), store=store) as world:
            for _ in range(run.cycles):
                for seconds in (60, 0, -60, 0):
                    fault = world.fault(f"clock at {seconds:+d} s")
                    clock.move(seconds)
                    await run.pause(3, 5)
                    await world.recovered(fault)
                for slug in world.slugs:
                    store.ask("PEXPIRE", keys_of(slug).lease, 1)
                await world.recovered(world.fault("leases ended at once"))
                await run.pause(6, 7)
                await _take_over_from_the_dead(
                    world, lambda slug: store.ask("PEXPIRE", keys_of(slug).lease, 3_600_000)
                )
                await run.pause(6, 7)
                await _take_over_from_the_dead(world, lambda slug: clock.move(-60))
                clock.move(0)
                await run.pause(6, 7)
    finally:
        clock.remove()


async def _take_over_from_the_dead(world: World, lengthen: Callable[[str], object]) -> None:
    """Kills an uplink whose leases then last longer than they should."""
    victim = next(uplink for uplink in world.uplinks if world.owned_by(uplink))
    fault = world.fault("uplink killed, its leases last", *(owned := world.owned_by(victim)))
    await world.kill(victim)
    for slug in owned:
        lengthen(slug)
    await world.recovered(fault)
    await victim.start()
