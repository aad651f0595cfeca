"""`python -m bench.run [names] [--quick]`: measures the figures of ARCHITECTURE.md P8, writes RESULTS.md.

`--quick` shows in a minute or two that the harness works; its numbers mean little and are not written.
"""

import argparse
import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from bench import burst, commands, cpu, events, growth, memory, report
from bench.processes import Machine
from bench.result import Findings, Row

BENCHES: dict[str, Callable[[bool], Coroutine[Any, Any, Findings]]] = {
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
    arguments = parser.parse_args()
    names = arguments.names or list(BENCHES)
    if unknown := set(names) - set(BENCHES):
        parser.error(f"there is no bench {', '.join(sorted(unknown))}")
    rows = []
    for name in names:
        print(f"== {name}", flush=True)
        machine = Machine()
        found = asyncio.run(BENCHES[name](arguments.quick))
        found.say(f"meanwhile other processes kept {machine.elsewhere():.2f} cores busy")
        rows += found.rows
        if not arguments.quick:
            report.write(name, found, list(BENCHES))
    print("", *map(_readable, rows), sep="\n")


def _readable(row: Row) -> str:
    met = {True: "met   ", False: "MISSED", None: "      "}[row.met]
    return f"{met}  {row.figure:<32}  {row.target:<28}  {row.measured}"


if __name__ == "__main__":
    main()
