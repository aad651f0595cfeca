"""Figure: memory of all processes of the relay after minutes of default cadence."""

import asyncio

from bench import traffic
from bench.harness import bench
from bench.plan import Plan
from bench.result import Findings, Row

MINUTES, QUICK_MINUTES = 5.0, 0.2
PLAYERS = {1: 50, 100: 50, 1000: 10}
"""Players on each server, by the number of servers."""

QUICK_PLAYERS = {1: 10, 20: 10}
TARGETS_MIB = {100: 250, 1000: 1024}
EVENT_EVERY_S, SYNC_S = 10.0, 30.0


async def figures(plan: Plan) -> Findings:
    found = Findings()
    for instances, players in (QUICK_PLAYERS if plan.quick else PLAYERS).items():
        found.rows.append(await _measure(instances, players, plan, found))
    return found


async def _measure(instances: int, players: int, plan: Plan, found: Findings) -> Row:
    minutes = QUICK_MINUTES if plan.quick else MINUTES
    async with bench(instances, plan=plan) as at:
        linked = at.memory()
        await at.mods.call("join", players=players)
        await at.mods.call("live", event_every_s=EVENT_EVERY_S)
        game_ids = [traffic.player(number).game_id for number in range(players)]
        await at.sink.call("sync", period_s=SYNC_S, players=game_ids)
        before = at.cpu()
        await asyncio.sleep(60 * minutes)
        used, busy = at.memory(), (at.cpu() - before).each(60 * minutes / 100)
        links, mods = await at.sink.call("count"), await at.mods.call("counts")
    total = sum(one.rss for one in used.values())
    parts = ", ".join(f"{name} {one.rss:.0f}" for name, one in used.items())
    memory = f"{total:.0f} MiB RSS ({parts}), {sum(one.pss for one in used.values()):.0f} MiB PSS"
    found.number(f"{instances} instances, MiB RSS", total)
    found.number(f"{instances} instances, % of a core", busy.total)
    began = sum(one.rss for one in linked.values())
    found.say(
        f"{instances} instances: {memory}; {began:.0f} MiB RSS when just linked; % of a core: {busy}; "
        f"{links}; {mods}"
    )
    target = TARGETS_MIB.get(instances)
    return Row(
        f"Memory, {instances} instance{'s' * (instances > 1)}",
        f"≤ {target} MiB" if target else "",
        memory,
        f"after {minutes:g} min: polls each 2 s, an event each {EVENT_EVERY_S:g} s, {players} players a "
        f"server, sync burst each {SYNC_S:g} s; {busy.total:.0f} % of a core",
        total <= target if target else None,
    )
