"""The scenarios, by their numbers in RESULTS.md.

How to add one: write a short coroutine into a file of scenarios/ and register it.

    @scenario("F4", "kill one uplink", cycles=30, short=3, recovery_s=7.0)
    async def kill_one_uplink(run: Run) -> None:
        async with run.world(Shape(uplinks=3, instances=6)) as world:   # everything runs, events flow
            for _ in range(run.cycles):
                victim = run.chance.choice(world.uplinks)
                fault = world.fault("uplink killed", *world.owned_by(victim))
                await world.kill(victim)                                # counted
                await victim.begin()
                await world.recovered(fault)
        # Leaving the world heals, drains, counts, and judges all invariants.

The decorator has the promises that every scenario makes. `run.must(condition, "words")` checks a promise of
this scenario alone, `run.note("503s", 12)` adds a measured value to the results. `raise NotPermitted(...)`
(inject/machine.py) skips the scenario with these words. A negative control passes if one of the letters of
`breaks="C"` turns red. `python -m tests.faults.run --only F4 --cycles 2` runs one; KEEP_LOGS=1 keeps its
folder.
"""

import importlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.faults.invariants import REPEATED_PER_FAULT

if TYPE_CHECKING:
    from tests.faults.world import Run

Play = Callable[["Run"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """`cycles` in a full run, `short` in the subset that `make test` runs (None: not in it).

    `recovery_s` is the promise for 99 of 100 recoveries; `repeats` how many events of an instance one fault
    may repeat; `late_writes` how many single writes to an instance a frozen owner may make after its time;
    `within_s` bounds the whole scenario.
    """

    name: str
    about: str
    play: Play
    cycles: int = 1
    short: int | None = None
    recovery_s: float | None = None
    repeats: int = REPEATED_PER_FAULT
    late_writes: int = 0
    breaks: str = ""
    within_s: float = 900.0


_scenarios: dict[str, Scenario] = {}


def scenario(name: str, about: str, **promises: Any) -> Callable[[Play], Play]:
    """Register a coroutine as a scenario. `promises` are more fields of Scenario."""

    def register(play: Play) -> Play:
        assert name not in _scenarios, f"{name} is registered twice"
        _scenarios[name] = Scenario(name, about, play, **promises)
        return play

    return register


def scenarios() -> list[Scenario]:
    """All scenarios, sorted by number."""
    for file in sorted((Path(__file__).parent / "scenarios").glob("*.py")):
        importlib.import_module(f"tests.faults.scenarios.{file.stem}")
    return sorted(_scenarios.values(), key=_by_number)


def _by_number(scenario: Scenario) -> tuple[int, str]:
    digits = "".join(filter(str.isdigit, scenario.name.partition("-")[0]))
    return int(digits or 99), scenario.name
