"""Figure: Takaro's sync burst, 3 + 2P requests to each of 100 servers at the same moment."""

import asyncio
from typing import Any

from bench import traffic
from bench.harness import Bench, bench
from bench.plan import Plan
from bench.result import Findings, Row, percentile, spread

INSTANCES, PLAYERS = 100, 50
QUICK_INSTANCES = 10
COLD_AFTER_S = 45.0
"""All players of a restarted server join within some time; the first sync comes up to 30 s later."""

WARM_S, QUICK_WARM_S = 90.0, 5.0
"""Time for the refreshes after the cold burst, which reach the mods at a limited rate."""

WARM_BURSTS, BETWEEN_S = 3, 5.0
ERRORS_SHOWN = 3
TARGET_P99_S = 0.5


async def figures(plan: Plan) -> Findings:
    found = Findings()
    instances = QUICK_INSTANCES if plan.quick else INSTANCES
    players = [traffic.player(number).game_id for number in range(PLAYERS)]
    async with bench(instances, plan=plan) as at:
        await at.mods.call("join", players=PLAYERS)
        await at.mods.call("live")
        await asyncio.sleep(QUICK_WARM_S if plan.quick else COLD_AFTER_S)
        cold = await _burst(at, "cold", players, found)
        await asyncio.sleep(QUICK_WARM_S if plan.quick else WARM_S)
        warm = []
        for _ in range(WARM_BURSTS):
            warm.append(await _burst(at, "warm", players, found))
            await asyncio.sleep(BETWEEN_S)
        found.say(f"mods: {await at.mods.call('counts')}")
    for name, reports in (("cold", [cold]), ("warm", warm)):
        took_s = [one for report in reports for one in report["took_s"]]
        found.number(f"burst, mirror {name}, p99, ms", 1e3 * percentile(took_s, 99))
        found.rows.append(_row(name, instances, reports))
    return found


async def _burst(at: Bench, name: str, players: list[str], found: Findings) -> dict[str, Any]:
    before = at.cpu()
    report: dict[str, Any] = await at.sink.call("burst", players=players)
    cpu = at.cpu() - before
    found.say(
        f"{name}: {report['answered']} of {report['asked']} answered in 10 s, {spread(report['took_s'])}, "
        f"{sum(report['errors'].values())} with an error; "
        f"CPU: {cpu} s, load {report['cpu_s']:.2f} s, whose writes took {report['writing_ms']:.0f} ms"
    )
    for text, count in sorted(report["errors"].items(), key=lambda pair: -pair[1])[:ERRORS_SHOWN]:
        found.say(f"  {count} x {text}")
    return report


def _row(name: str, instances: int, reports: list[dict[str, Any]]) -> Row:
    asked, answered = (sum(report[key] for report in reports) for key in ("asked", "answered"))
    errors = sum(count for report in reports for count in report["errors"].values())
    took_s = [one for report in reports for one in report["took_s"]]
    load_s = max(report["cpu_s"] for report in reports)
    return Row(
        f"Burst, mirror {name}" + (f", {len(reports)} in turn" if len(reports) > 1 else ""),
        f"all answered in 10 s, p99 ≤ {1e3 * TARGET_P99_S:g} ms",
        f"{answered} of {asked} answered in 10 s, {errors} with an error; {spread(took_s)}",
        f"{instances} servers × {PLAYERS} players, one write a socket; the load took {load_s:.2f} s CPU "
        "of the same cores",
        asked == answered and not errors and percentile(took_s, 99) <= TARGET_P99_S,
    )
