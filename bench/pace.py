"""Figure: CPU and memory at the pace of real servers, with all that Takaro asks because of their events."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from bench import traffic
from bench.asking import FOR_EVENT
from bench.harness import Bench, Cpu, bench, bench_of_up
from bench.plan import Plan
from bench.processes import Memory, cpu_s
from bench.result import Findings, Row, spread

SYNC_S = 30.0
"""Takaro asks for the positions and inventories of all players at this interval, of all servers at once."""

WARM_UP_S = 30.0
SECONDS = 60.0
"""Length of the measurement: two syncs. It begins and ends between two syncs."""

QUICK_S = 3.0
QUICK_SERVERS = 4


@dataclass(frozen=True, slots=True)
class Size:
    """`target` is in percent of a core, for all processes together. `up`: those of `dayz-relay up`."""

    servers: int
    players: int
    target: float | None = None
    target_mib: float | None = None
    up: bool = False

    def __str__(self) -> str:
        way = ", all processes of `up`" if self.up else ""
        return f"{self.servers:,} server{'s' * (self.servers > 1)} × {self.players} players{way}"

    @property
    def targets(self) -> str:
        cpu = f"≤ {self.target:g} % of a core" if self.target else ""
        return f"{cpu}, ≤ {self.target_mib:g} MiB" if self.target_mib else cpu

    def met(self, result: "Result") -> bool | None:
        if self.target is None:
            return None
        return result.cpu.total <= self.target and (self.target_mib is None or result.mib <= self.target_mib)

    async def figures(self, plan: Plan) -> Findings:
        found = Findings()
        size = Size(min(self.servers, QUICK_SERVERS), self.players, up=self.up) if plan.quick else self
        async with bench_of_up(plan) if self.up else bench(size.servers, plan=plan) as at:
            result = await measure(at, size.players, QUICK_S if plan.quick else SYNC_S)
        found.say(f"{size}: {result}")
        for name, value in result.numbers.items():
            found.number(f"{size}, {name}", value)
        found.rows.append(
            Row(
                f"CPU at the pace, {size}",
                size.targets,
                f"{result.cpu} % of a core; {result.mib:.0f} MiB RSS, {result.pss_mib:.0f} MiB PSS; "
                f"{result.answered}",
                f"{SECONDS:g} s: polls each 2 s, a flush each second with an event a second on average, "
                f"position before each event of a player, sync of all servers at once each {SYNC_S:g} s",
                size.met(result),
            )
        )
        return found


PACE = Size(100, 20, 16)
PACE_60 = Size(60, 20)
PACE_1000 = Size(1_000, 10, 55)
ALONE = Size(1, 20, 0.8, 120, up=True)


@dataclass(frozen=True, slots=True)
class Result:
    """`cpu` and `load` in percent of a core. `warm_up` and `report` are of the requests before the
    measurement, with the first sync on a cold mirror, and since; events are counted from the beginning."""

    cpu: Cpu
    memory: dict[str, Memory]
    load: dict[str, float]
    sent: int
    delivered: int
    failures: dict[str, int]
    warm_up: dict[str, Any] = field(repr=False)
    report: dict[str, Any] = field(repr=False)

    @property
    def mib(self) -> float:
        return sum(one.rss for one in self.memory.values())

    @property
    def pss_mib(self) -> float:
        return sum(one.pss for one in self.memory.values())

    @property
    def answered(self) -> str:
        share = 100 * self.report["answered"] / max(1, self.report["asked"])
        errors = sum(self.report["errors"].values())
        return (
            f"{share:.2f} % of {self.report['asked']} requests answered in 10 s, {errors} with an error; "
            f"{self.delivered} of {self.sent} events delivered"
        )

    @property
    def numbers(self) -> dict[str, float]:
        cpu = {"all": self.cpu.total} | self.cpu.parts
        return {f"{name}, % of a core": value for name, value in cpu.items()} | {
            "MiB RSS": self.mib,
            "MiB PSS": self.pss_mib,
        }

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {one.rss:.0f}" for name, one in self.memory.items())
        load = ", ".join(f"{name} {busy:.1f} %" for name, busy in self.load.items())
        return (
            f"{self.cpu} % of a core; {self.mib:.0f} MiB RSS ({parts}), {self.pss_mib:.0f} MiB PSS; "
            f"{self.answered}; calls of mods without a 200: {self.failures or 'none'}; "
            f"{_said(self.report)}; before, with the first sync: {_said(self.warm_up)}; "
            f"the load: {load}"
        )


def _said(report: dict[str, Any]) -> str:
    took_s = dict(report["took_s_by_action"])
    for_events_s = took_s.pop(FOR_EVENT, [])
    syncs_s = [one for some in took_s.values() for one in some]
    errors = f", {report['errors']}" if report["errors"] else ""
    return f"syncs {spread(syncs_s)}, positions for events {spread(for_events_s)}{errors}"


async def measure(at: Bench, players: int, sync_s: float) -> Result:
    """`sync_s` is the time from one sync to the next. All other times are in proportion to it."""
    scale = sync_s / SYNC_S
    game_ids = [traffic.player(number).game_id for number in range(players)]
    await at.mods.call("join", players=players)
    await at.mods.call("live")
    await at.drained()
    before = await at.sink.call("count")
    await at.sink.call("take", players=game_ids, sync_s=sync_s)
    await at.mods.call("play", players=players)
    await asyncio.sleep(WARM_UP_S * scale)
    seconds = SECONDS * scale
    warm_up = await at.sink.call("taken_so_far")
    cpu, load = at.cpu(), _load(at)
    await asyncio.sleep(seconds)
    cpu, memory = (at.cpu() - cpu).each(seconds / 100), at.memory()
    load = {name: 100 * (after_s - load[name]) / seconds for name, after_s in _load(at).items()}
    sent = await at.mods.call("rest")
    await at.drained()
    report, after = await at.sink.call("taken"), await at.sink.call("count")
    failures = (await at.mods.call("counts"))["failed"]
    return Result(cpu, memory, load, sent, after["events"] - before["events"], failures, warm_up, report)


def _load(at: Bench) -> dict[str, float]:
    return {"mods": cpu_s(at.mods.pid), "Takaro": cpu_s(at.sink.pid)}
