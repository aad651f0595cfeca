"""`python -m bench.run [names] [--quick] [--against TREE]`: measures the figures of ARCHITECTURE.md P8.

It writes RESULTS.md. `--quick` shows in a minute or two that the harness works; its numbers mean little
and are not written. `--against` measures this tree and another one by turns, and writes nothing either.
"""

import argparse
import asyncio
import compileall
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from bench import burst, commands, compare, cpu, events, growth, memory, pace, report
from bench.plan import Plan
from bench.processes import Machine
from bench.result import Findings, Row

BENCHES: dict[str, Callable[[Plan], Coroutine[Any, Any, Findings]]] = {
    "pace": pace.PACE.figures,
    "pace-60": pace.PACE_60.figures,
    "pace-1000": pace.PACE_1000.figures,
    "alone": pace.ALONE.figures,
    "cpu": cpu.figures,
    "events": events.figures,
    "burst": burst.figures,
    "commands": commands.figures,
    "memory": memory.figures,
    "growth": growth.figures,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"any of {', '.join(BENCHES)}; all without")
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes, nothing is written")
    parser.add_argument(
        "--against", type=Path, metavar="TREE", help="compare with a working tree that has its own .venv"
    )
    arguments = parser.parse_args()
    names = arguments.names or list(BENCHES)
    if unknown := set(names) - set(BENCHES):
        parser.error(f"there is no bench {', '.join(sorted(unknown))}")
    if arguments.against:
        _compare(names, arguments.quick, arguments.against.resolve())
    else:
        _measure(names, arguments.quick)


def _measure(names: list[str], quick: bool) -> None:
    rows = []
    for name in names:
        print(f"== {name}", flush=True)
        found = _run(name, Plan(quick))
        rows += found.rows
        if not quick:
            report.write(name, found, list(BENCHES))
    print("", *map(_readable, rows), sep="\n")


def _compare(names: list[str], quick: bool, other: Path) -> None:
    for name in names:
        turns = []
        for turn in range(compare.TURNS):
            for tree in (None, other):
                print(f"== {name}, turn {turn + 1}, {tree or 'this tree'}", flush=True)
                turns.append((tree, _run(name, Plan(quick, tree)).numbers))
        print(compare.table(turns), flush=True)


def _run(name: str, plan: Plan) -> Findings:
    _compile(plan.tree)
    machine = Machine()
    found = asyncio.run(BENCHES[name](plan))
    found.say(f"meanwhile other processes kept {machine.elsewhere():.2f} cores busy")
    return found


def _compile(tree: Path | None) -> None:
    """As in an installation: a process that compiles what it imports keeps 10 MiB of that."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir((tree or Path()) / "services", quiet=1)


def _readable(row: Row) -> str:
    met = {True: "met   ", False: "MISSED", None: "      "}[row.met]
    return f"{met}  {row.figure:<32}  {row.target:<28}  {row.measured}"


if __name__ == "__main__":
    main()
