"""How CPU and latency grow with the number of instances, at the same total rate."""

from bench import events
from bench.harness import bench
from bench.plan import Plan
from bench.result import Findings, Row, spread

INSTANCES = (1, 10, 50, 100, 500)
QUICK_INSTANCES = (1, 10)
EVENTS_S = 500.0
SECONDS = 10.0
QUICK_S = 2.0


async def figures(plan: Plan) -> Findings:
    found = Findings()
    for instances in QUICK_INSTANCES if plan.quick else INSTANCES:
        async with bench(instances, plan=plan) as at:
            result = await events.measure(at, EVENTS_S, QUICK_S if plan.quick else SECONDS)
        found.say(f"{instances} instance{'s' * (instances > 1)}: {result}")
        found.rows.append(
            Row(
                f"Growth: {instances} instance{'s' * (instances > 1)}",
                "",
                f"{result.cpu} µs/event, latency {spread(result.since_answer)}, "
                f"without load {100 * result.idle.total:.1f} % of a core",
                f"{EVENTS_S:g} events/s in all, batches of {events.BATCH}, {SECONDS:g} s",
            )
        )
    return found
