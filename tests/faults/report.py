"""Outcomes as text, for the terminal and for RESULTS.md, where a scenario replaces its own row. Pure.

There is a row for each scenario and seed, so a run with another seed does not hide one that failed.
"""

from collections import Counter

from tests.faults.invariants import percentile
from tests.faults.registry import Scenario
from tests.faults.shape import Outcome

COMPLAINTS_SHOWN = 8
COLUMNS = (
    "scenario",
    "result",
    "cycles",
    "seed",
    "accepted",
    "lost",
    "repeated (most for one fault)",
    "out of order",
    "writes run / asked",
    "run twice",
    "recovery p50 / p99 / max, s",
    "kills modapi / uplink / Redis",
    "measured",
    "server",
    "date",
)
_KILLS = COLUMNS.index("kills modapi / uplink / Redis")
_SEED = COLUMNS.index("seed")

_HEAD = """# What the fault suite counted

`make faults` writes this page; each scenario renews its row of the same seed. Events are *accepted* when
their mod has its 2xx; *lost* are those that never reached Takaro. *Repeated* are events that Takaro took
twice. Recovery is the time from a fault (from its healing, where it lasts) to the first new event of each
instance that it touched. A *negative control* switches a safeguard off, and passes when the suite turns red.
"""


def passed(scenario: Scenario, outcome: Outcome) -> bool:
    """Whether the relay kept its promises, or a negative control broke the one that it should break."""
    if outcome.skipped:
        return True
    red = {complaint.partition(":")[0] for complaint in complaints(scenario, outcome)}
    return bool(red & set(scenario.breaks)) if scenario.breaks else not red


def complaints(scenario: Scenario, outcome: Outcome) -> list[str]:
    """All complaints, including one about the time to recover."""
    found = list(outcome.complaints)
    if scenario.recovery_s is not None and outcome.recoveries:
        p99_s = percentile(outcome.recoveries, 99)
        if p99_s > scenario.recovery_s:
            found.append(f"R: recovery took {p99_s:.2f} s (p99), {scenario.recovery_s:g} s are promised")
    return found


def summary(scenario: Scenario, outcome: Outcome) -> str:
    """The outcome for the terminal."""
    if outcome.skipped:
        return f"  skipped: {outcome.skipped}"
    found = complaints(scenario, outcome)
    letters = Counter(complaint.partition(":")[0] for complaint in found)
    lines = [
        f"  {_result(scenario, outcome)} in {outcome.seconds:.0f} s: {outcome.accepted} accepted, "
        f"{outcome.lost} lost, {outcome.repeated} repeated (most for a fault: {outcome.repeated_per_fault}), "
        f"{outcome.disordered} out of order; writes {outcome.executed}/{outcome.writes}, "
        f"{outcome.double_writes} twice; recovery {_recovery(outcome)}; kills {_kills(outcome)}",
        *([f"  measured: {_notes(outcome)}"] if outcome.notes else []),
        *([f"  complaints: {dict(letters)}"] if found else []),
        *(f"    {complaint}" for complaint in found[:COMPLAINTS_SHOWN]),
    ]
    return "\n".join(lines)


def row(scenario: Scenario, outcome: Outcome, cycles: int, seed: int, date: str) -> str:
    """The scenario's row in the table."""
    cells: tuple[object, ...] = (
        f"**{scenario.name}** {scenario.about}",
        _result(scenario, outcome),
        cycles,
        seed,
        outcome.accepted,
        outcome.lost,
        f"{outcome.repeated} ({outcome.repeated_per_fault})",
        outcome.disordered,
        f"{outcome.executed} / {outcome.writes}",
        outcome.double_writes,
        _recovery(outcome),
        _kills(outcome),
        _notes(outcome) or "–",
        ", ".join(sorted(outcome.servers)) or "–",
        date,
    )
    return _line(cells)


def renewed(old: str, row: str, machine: str) -> str:
    """The page `old`, with this row instead of the row of the same scenario and seed."""
    rows = {_key(line): line for line in old.splitlines() if line.startswith("| **")}
    rows[_key(row)] = row
    kills = [sum(numbers) for numbers in zip(*map(_kills_in, rows.values()), strict=True)]
    head = [
        _HEAD,
        f"Machine: {machine}.",
        "",
        f"Kills in all: {kills[0]} of modapi, {kills[1]} of uplink, {kills[2]} of Redis or Valkey.",
        "",
        _line(COLUMNS),
        _line(["---"] * len(COLUMNS)),
    ]
    return "\n".join([*head, *(rows[key] for key in sorted(rows, key=_place))]) + "\n"


def _line(cells: tuple[object, ...] | list[str]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "/").replace("\n", " ") for cell in cells) + " |"


def _key(line: str) -> tuple[str, int]:
    """Scenario and seed."""
    return line.split("**")[1], int(line.split(" | ")[_SEED])


def _place(key: tuple[str, int]) -> tuple[int, str, int]:
    name, seed = key
    return int("".join(filter(str.isdigit, name.partition("-")[0])) or 999), name, seed


def _kills_in(line: str) -> list[int]:
    return [int(number) for number in line.split(" | ")[_KILLS].split(" / ")]


def _result(scenario: Scenario, outcome: Outcome) -> str:
    if outcome.skipped:
        return f"skipped: {outcome.skipped}"
    if scenario.breaks:
        return "turned red, as it must" if passed(scenario, outcome) else "**did not turn red**"
    found = complaints(scenario, outcome)
    return f"**failed**: {found[0]}" if found else "held"


def _recovery(outcome: Outcome) -> str:
    found = outcome.recoveries
    if not found:
        return "–"
    return " / ".join(f"{value:.2f}" for value in (percentile(found, 50), percentile(found, 99), max(found)))


def _kills(outcome: Outcome) -> str:
    return " / ".join(str(outcome.kills[name]) for name in ("modapi", "uplink", "redis"))


def _notes(outcome: Outcome) -> str:
    return ", ".join(f"{name}: {value}" for name, value in outcome.notes.items())
