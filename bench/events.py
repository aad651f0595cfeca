"""Figure: from the 200 of a POST to the frame at Takaro's side. One clock: CLOCK_MONOTONIC of one machine."""

import asyncio
from dataclasses import dataclass

from bench.harness import Bench, Cpu, bench
from bench.plan import Plan
from bench.result import Findings, Row, percentile, spread

INSTANCES = 100
BATCH = 10  # what 10 events/s make at a flush each second
EVENTS_S = 1_000.0
SECONDS = 30.0
QUICK_S = 3.0
WARM_UP_S = 2.0
IDLE_S = 5.0
TARGET_P50_S, TARGET_P99_S = 0.005, 0.008


@dataclass(frozen=True, slots=True)
class Result:
    """Latencies in seconds; CPU in microseconds per event; `idle` in CPU seconds per second without load."""

    since_answer: list[float]
    since_post: list[float]
    events: int
    failed: int
    cpu: Cpu
    idle: Cpu

    def __str__(self) -> str:
        return (
            f"after the 200: {spread(self.since_answer)}; after the POST: {spread(self.since_post)}; "
            f"{len(self.since_answer)} of {self.events} seen, {self.failed} POSTs refused; "
            f"{self.cpu} µs/event; without load {100 * self.idle.total:.1f} % of a core"
        )


async def figures(plan: Plan) -> Findings:
    found = Findings()
    async with bench(INSTANCES, plan=plan) as at:
        result = await measure(at, EVENTS_S, QUICK_S if plan.quick else SECONDS)
    found.say(f"{INSTANCES} instances, {EVENTS_S:g} events/s: {result}")
    p50_s, p99_s = (percentile(result.since_answer, percent) for percent in (50, 99))
    found.number("event latency, p50, ms", 1e3 * p50_s)
    found.number("event latency, p99, ms", 1e3 * p99_s)
    found.number("paced events, µs/event", result.cpu.total)
    found.rows.append(
        Row(
            "Event latency",
            f"p50 ≤ {1e3 * TARGET_P50_S:g} ms, p99 ≤ {1e3 * TARGET_P99_S:g} ms",
            spread(result.since_answer),
            f"{EVENTS_S:g} events/s over {INSTANCES} instances, batches of {BATCH}; from the 200 at the mod "
            f"to the frame at Takaro (from the POST: {spread(result.since_post)})",
            p50_s <= TARGET_P50_S and p99_s <= TARGET_P99_S,
        )
    )
    return found


async def measure(
    at: Bench, rate: float, seconds: float, idle_s: float = IDLE_S, warm_up_s: float = WARM_UP_S
) -> Result:
    await at.mods.call("post_paced", batch=BATCH, rate=rate, seconds=warm_up_s)
    await at.drained()
    before = at.cpu()
    await asyncio.sleep(idle_s)
    idle = at.cpu() - before
    await at.sink.call("keep_events")
    before = at.cpu()
    report = await at.mods.call("post_paced", batch=BATCH, rate=rate, seconds=seconds, marked=True)
    await at.drained()
    spent = at.cpu() - before
    seen_ns = dict(await at.sink.call("kept"))
    answered, sent = dict(report["answered_ns"]), dict(report["sent_ns"])
    return Result(
        [(seen_ns[number] - answered[number]) / 1e9 for number in answered if number in seen_ns],
        [(seen_ns[number] - sent[number]) / 1e9 for number in sent if number in seen_ns],
        report["events"],
        report["failed"],
        spent.each(1e-6 * report["events"]),
        idle.each(idle_s),
    )
