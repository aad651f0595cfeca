"""Figure: giveItem from request to response, with a mod that is idle at its default poll of 2 s."""

import asyncio

from bench import traffic
from bench.harness import bench
from bench.plan import Plan
from bench.result import Findings, Row, percentile, spread

INSTANCES = 50
COMMANDS, SECONDS = 400, 60.0
QUICK_COMMANDS, QUICK_S = 20, 6.0
EVENT_EVERY_S = 5.0
WARM_UP_S, QUICK_WARM_UP_S = 60.0, 5.0
"""Time for holds to grow, which they do only after a request was served during a hold."""


async def figures(plan: Plan) -> Findings:
    found = Findings()
    for name, setting, target_s in (("held polls", "", 0.1), ("no held polls", "hold_polls_s = 0", 1.1)):
        async with bench(INSTANCES, setting, plan) as at:
            await at.mods.call("join", players=1)
            await at.mods.call("live", event_every_s=EVENT_EVERY_S)
            await asyncio.sleep(QUICK_WARM_UP_S if plan.quick else WARM_UP_S)
            report = await at.sink.call(
                "give",
                count=QUICK_COMMANDS if plan.quick else COMMANDS,
                seconds=QUICK_S if plan.quick else SECONDS,
                player=traffic.player(0).game_id,
            )
        took_s, errors = report["took_s"], sum(report["errors"].values())
        answered = f"{report['answered']} of {report['asked']} answered in 10 s"
        found.say(f"{name}: {answered}, {spread(took_s)}, {report['errors']}")
        found.rows.append(
            Row(
                f"Command latency, {name}",
                f"p50 ≤ {1e3 * target_s:g} ms",
                f"{spread(took_s)}; {answered}, {errors} with an error",
                f"giveItem at random moments to {INSTANCES} mods that poll each 2 s on a 1 s tick and have "
                f"an event each {EVENT_EVERY_S:g} s; {setting or 'default settings'}",
                not errors and percentile(took_s, 50) <= target_s,
            )
        )
    return found
