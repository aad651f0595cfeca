"""`make faults`: runs the scenarios one after the other, and counts.

    python -m tests.faults.run [--only F4,F9] [--cycles N] [--seed N] [--short] [--out FILE]

Each scenario renews its row of RESULTS.md, that of the same seed, as soon as it has ended: a long run may be
cut into pieces.
"""

import argparse
import asyncio
import os
import platform
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from tests.faults import report
from tests.faults.inject.machine import NotPermitted
from tests.faults.registry import Scenario, scenarios
from tests.faults.shape import Outcome
from tests.faults.world import Run

RESULTS = Path(__file__).parent / "RESULTS.md"


async def play(scenario: Scenario, *, cycles: int, seed: int) -> Outcome:
    """Runs one scenario. A failure of the relay is a complaint in the outcome, not an exception."""
    run = Run(scenario, cycles, seed)
    begun_s = time.monotonic()
    try:
        async with asyncio.timeout(scenario.within_s):
            await scenario.play(run)
    except NotPermitted as error:
        run.outcome.skipped = str(error)
    except Exception as error:
        run.outcome.complaints.append(
            f"!: the scenario broke off: {str(error)[-200:] or type(error).__name__}"
        )
        run.say("".join(traceback.format_exception(error)))
    run.outcome.seconds = time.monotonic() - begun_s
    return run.outcome


def main() -> int:
    arguments = _arguments()
    wanted = set(filter(None, arguments.only.split(",")))
    known = scenarios()
    if unknown := wanted - {scenario.name for scenario in known}:
        print(f"no such scenario: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    failed = []
    for scenario in known:
        cycles = scenario.short if arguments.short else arguments.cycles or scenario.cycles
        if cycles is None or (wanted and scenario.name not in wanted):
            continue
        print(f"{scenario.name}: {scenario.about}", flush=True)
        outcome = uvloop.run(play(scenario, cycles=cycles, seed=arguments.seed))
        print(report.summary(scenario, outcome), flush=True)
        if not report.passed(scenario, outcome):
            failed.append(scenario.name)
        if arguments.out:
            old = arguments.out.read_text() if arguments.out.exists() else ""
            row = report.row(scenario, outcome, cycles, arguments.seed, f"{datetime.now(UTC):%Y-%m-%d}")
            arguments.out.write_text(report.renewed(old, row, machine()))
    print(f"failed: {', '.join(failed)}" if failed else "all passed")
    return 1 if failed else 0


def machine() -> str:
    return (
        f"Python {platform.python_version()}, {platform.system()} {platform.release()}, "
        f"{os.cpu_count()} cores, {platform.machine()}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Proves the promises of the relay by counting.")
    parser.add_argument("--only", default="", metavar="F4,F9", help="only these scenarios")
    parser.add_argument("--cycles", type=int, metavar="N", help="number of cycles in each")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--short", action="store_true", help="the subset of `make test`, with few cycles")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE", help="the page with the results")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
