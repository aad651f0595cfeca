"""Figure: CPU per event of modapi, uplink and store together, from POST to Takaro's receipt."""

from dataclasses import dataclass
from statistics import median_low
from typing import Any

from bench.harness import Bench, Cpu, bench
from bench.plan import Plan
from bench.result import Findings, Row, percentile
from bench.traffic import MIX

WARM_UP_EVENTS = 2_000
EVENTS = {50: 50_000, 5: 30_000, 1: 20_000}
EVENTS_ALONE = {50: 20_000, 5: 10_000, 1: 5_000}
QUICK = 10  # a quick run divides the number of events by this
RUNS = 3
PACED_EVENTS_S = 500.0
PACED_S = 10.0


async def figures(plan: Plan) -> Findings:
    found = Findings()
    divisor, runs = (QUICK, 1) if plan.quick else (1, RUNS)
    together = [Load(50, batch, events // divisor) for batch, events in EVENTS.items()]
    paced_events = int(PACED_EVENTS_S * PACED_S) // divisor
    paced = [Load(50, batch, paced_events, PACED_EVENTS_S) for batch in EVENTS]
    alone = [Load(1, batch, events // divisor) for batch, events in EVENTS_ALONE.items()]
    results = []
    for instances, loads, of_each in ((50, together + paced, runs), (1, alone, 1)):
        async with bench(instances, plan=plan) as at:
            results += await measure(at, loads, of_each, found)
    for result in results:
        load, cpu = result.load, result.cpu
        found.number(f"{load.way}, batches of {load.batch}, µs/event", cpu.total)
        found.rows.append(
            Row(
                f"CPU per event, batches of {load.batch}",
                "",
                f"{cpu} µs",
                f"{load.way}; {result.rate:.0f} events/s",
            )
        )
    found.lines.append(f"The events: {MIX}.")
    return found


@dataclass(frozen=True, slots=True)
class Load:
    """With `rate` 0 each instance posts its next batch as soon as the last one was answered."""

    instances: int
    batch: int
    events: int
    rate: float = 0.0

    @property
    def way(self) -> str:
        way = f"paced at {self.rate:g} events/s" if self.rate else "closed loop"
        return f"{self.instances} instance{'s' * (self.instances > 1)}, {way}"


@dataclass(frozen=True, slots=True)
class Result:
    """`cpu` is per event, in microseconds; `rate` is what the whole relay carried, in events a second."""

    load: Load
    cpu: Cpu
    rate: float
    delivered: int
    failed: int
    post_p50_ms: float
    post_p99_ms: float

    def __str__(self) -> str:
        return (
            f"{self.load.way}, batches of {self.load.batch}: {self.cpu} µs/event; {self.rate:.0f} events/s, "
            f"POST p50 {self.post_p50_ms:.1f} ms p99 {self.post_p99_ms:.1f} ms, "
            f"{self.delivered} of {self.load.events} delivered, {self.failed} POSTs refused"
        )


async def measure(at: Bench, loads: list[Load], runs: int, found: Findings) -> list[Result]:
    """The median run of each load, one after the other on one relay."""
    results = []
    for load in loads:
        await run(at, Load(at.instances, load.batch, WARM_UP_EVENTS))
        all_runs = [await run(at, load) for _ in range(runs)]
        middle = median_low([one.cpu.total for one in all_runs])
        results.append(next(one for one in all_runs if one.cpu.total == middle))
        totals = ", ".join(f"{one.cpu.total:.1f}" for one in all_runs)
        found.say(f"{results[-1]} (runs: {totals})")
    return results


async def run(at: Bench, load: Load) -> Result:
    """Run one load until Takaro has receipted all of it."""
    before, cpu = await at.sink.call("count"), at.cpu()
    if load.rate:
        seconds = load.events / load.rate
        report = await at.mods.call("post_paced", batch=load.batch, rate=load.rate, seconds=seconds)
    else:
        report = await at.mods.call("post_all", batch=load.batch, events=load.events)
    await at.drained()
    spent, after = at.cpu() - cpu, await at.sink.call("count")
    return _result(load, spent, report, after["events"] - before["events"])


def _result(load: Load, spent: Cpu, report: dict[str, Any], delivered: int) -> Result:
    events = report["events"]
    took_ms = [1e3 * took_s for took_s in report["took_s"]]
    return Result(
        Load(load.instances, load.batch, events, load.rate),
        spent.each(1e-6 * events),
        events / report["seconds"],
        delivered,
        report["failed"],
        percentile(took_ms, 50),
        percentile(took_ms, 99),
    )
