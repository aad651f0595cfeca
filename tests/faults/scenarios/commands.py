"""F42 to F46: many requests, lost and odd results, and a mod that was away."""

import asyncio
import time

from services.relay.protocol.command_states import MAY_HAVE_RUN
from tests.faults.oracle import WRITE
from tests.faults.registry import scenario
from tests.faults.shape import Shape
from tests.faults.world import Run
from tests.support.proxy import Proxy

REQUESTS = 4_000
"""More requests than a socket serves before it is replaced (protocol.md T3)."""

QUEUE_EVENTS = 2_000
REPLY_DELAY_S = 0.3
HANG_UP_WITHIN_S = 30.0


@scenario("F42", "thousands of requests on one socket", repeats=0, recovery_s=2.0)
async def many_requests(run: Run) -> None:
    async with run.world(Shape(instances=1, writes=0.0)) as world:
        identity = world.identity(world.slugs[0])
        failed: list[str] = []
        for _ in range(REQUESTS // 40):
            answers = await asyncio.gather(
                *(world.takaro.request(identity, "testReachability") for _ in range(40))
            )
            failed += [answer.error for answer in answers if answer.error]
        await asyncio.sleep(12.0)  # the old socket is closed when its requests are answered, 10 s at most
        identifies = len(world.takaro.identifies(identity))
        run.must(not failed, f"the change of sockets loses no request; {failed[:1]}")
        run.must(2 <= identifies <= 3, f"the socket is replaced once; there were {identifies} identifies")
        sockets = len(world.takaro.sockets())
        run.must(sockets == 1, f"the old socket is closed; {sockets} are open")
        run.note("requests", REQUESTS)
    run.note("longest gap between events, s", round(_longest_gap(world.ledger.arrivals), 2))


@scenario("F43", "the answer of a poll that brings a command is lost", cycles=20, short=5, recovery_s=3.0)
async def poll_answer_lost(run: Run) -> None:
    lost = 0

    def lose(piece: bytes) -> None:
        nonlocal lost
        if b'"argsJson"' in piece and run.chance.random() < 0.3:
            lost += 1
            world.front.reset()

    # A mod gives a request up early, so a command that it never got is in doubt for a shorter time.
    async with run.world(Shape(writes=3.0)) as world:
        world.front.on_reply = lose
        fault = world.fault("answers of polls are lost")
        end_s = time.monotonic() + 60.0
        while lost < run.cycles and time.monotonic() < end_s:
            await asyncio.sleep(0.1)
        world.front.on_reply = lambda piece: None
        world.healed(fault)
        await world.recovered(fault)
    run.note("answers lost", lost)
    run.must(lost, "some answers were lost (otherwise the fault had no effect)")


@scenario(
    "F43-hang-up", "mods hang up while their polls wait for a slow Redis", cycles=20, short=3, recovery_s=3.0
)
async def hang_up_during_a_reply(run: Run) -> None:
    polls = HangUps(run)
    async with run.world(Shape(writes=3.0, proxied=True)) as world:
        redis = world.redis_of["modapi-1"]
        redis.reply_delay_s = REPLY_DELAY_S
        redis.on_reply = lambda reply: polls.replied(world.front, WRITE.encode() in reply)
        for _ in range(run.cycles):
            await run.pause(0.5, 1.0)
            fault = world.fault("mods hang up")
            await polls.hang_up()
            world.healed(fault)
            await world.recovered(fault)
        redis.on_reply = lambda reply: None
        redis.reply_delay_s = 0.0
    ran = {(one.instance, one.number) for one in world.ledger.executions}
    asked = world.ledger.requests
    told = [key for key, request in asked.items() if MAY_HAVE_RUN in (request.error or "") and key not in ran]
    run.note("writes asked for", len(asked))
    run.note("told as delivered that never ran", len(told))
    run.must(
        not told, f"Takaro never hears that a write was delivered when the mod hung up before: {told[:3]}"
    )


class HangUps:
    """Ends the connections of all mods while Redis' reply to a poll, with a command in it, is under way."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._wanted = False
        self._done = asyncio.Event()

    async def hang_up(self) -> None:
        """Waits until the connections have ended, during the reply with the next command."""
        self._done.clear()
        self._wanted = True
        async with asyncio.timeout(HANG_UP_WITHIN_S):
            await self._done.wait()

    def replied(self, front: Proxy, has_command: bool) -> None:
        """Called when Redis has sent a reply, which the proxy delays."""
        if has_command and self._wanted:
            self._wanted = False
            # After the answers that belong to earlier replies, and before this reply arrives.
            delay_s = self._run.chance.uniform(0.1, 0.7) * REPLY_DELAY_S
            asyncio.get_running_loop().call_later(delay_s, self._hang_up, front)

    def _hang_up(self, front: Proxy) -> None:
        front.reset()
        self._done.set()


@scenario("F44", "results come twice, too late, and for unknown operations", repeats=0)
async def odd_results(run: Run) -> None:
    async with run.world(Shape(writes=2.0)) as world:
        for mod in world.mods.values():
            mod.result_times = 2
        await asyncio.sleep(6.0)
        for mod in world.mods.values():
            mod.result_times, mod.run_s = 1, 11.0
        await asyncio.sleep(15.0)
        for mod in world.mods.values():
            mod.run_s = 0.0
            for operation in ("nobody-asked", "0" * 32, "%2e%2e"):
                await mod.post_result(operation, b'{"ok":true,"result":null}')
        await asyncio.sleep(12.0)
        lost = sum(mod.counters.results_lost for mod in world.mods.values())
        run.must(not lost, f"every result gets its 200; {lost} did not")
        late = sum(request.error is not None for request in world.ledger.requests.values())
        run.note("writes that Takaro heard an error for", late)


@scenario("F45", "uplinks die with writes pending and handed out", cycles=10, recovery_s=7.0)
async def uplink_dies_with_writes(run: Run) -> None:
    async with run.world(Shape(uplinks=2, writes=5.0, poll_s=2.0)) as world:
        for _ in range(run.cycles):
            await run.pause(0.5, 2.0)
            owners = [uplink for uplink in world.uplinks if world.owned_by(uplink)]
            victim = run.chance.choice(owners)
            fault = world.fault("uplink killed", *world.owned_by(victim))
            await world.kill(victim)
            await victim.begin()
            await world.recovered(fault)


@scenario("F46", "a mod is silent for 65 s, then brings 2,000 events", recovery_s=30.0)
async def silent_mod(run: Run) -> None:
    async with run.world(Shape(instances=2, writes=0.0)) as world:
        mod = world.mods[world.slugs[0]]
        await world.shut(mod)
        fault = world.fault("mod away", mod.slug)
        while mod.queued < QUEUE_EVENTS:
            mod.happen()
        await asyncio.sleep(65.0)
        world.boot(mod)
        world.healed(fault)
        begun_s = time.monotonic()
        await mod.wait_for(lambda: mod.queued < 50, 60.0)
        run.note("2,000 events accepted in, s", round(time.monotonic() - begun_s, 1))
        await world.recovered(fault, 90.0)


def _longest_gap(arrivals: list) -> float:  # type: ignore[type-arg]
    times = [arrival.at_s for arrival in arrivals]
    return max((later - earlier for earlier, later in zip(times, times[1:], strict=False)), default=0.0)
