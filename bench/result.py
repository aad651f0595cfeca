"""The result of a bench: rows for the table of RESULTS.md, and lines with the details."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Row:
    """`met` is None where ARCHITECTURE.md P8 names no figure."""

    figure: str
    target: str
    measured: str
    how: str
    met: bool | None = None


@dataclass(slots=True)
class Findings:
    rows: list[Row] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    numbers: dict[str, float] = field(default_factory=dict)
    """What is compared with another tree, by a name with its unit."""

    def say(self, line: str) -> None:
        print(line, flush=True)
        self.lines.append(line)

    def number(self, name: str, value: float) -> None:
        self.numbers[name] = value


def percentile(values: list[float], percent: float) -> float:
    """The smallest value that `percent` of all do not exceed; nan without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else float("nan")


def spread(took_s: list[float]) -> str:
    """Percentiles in words, in milliseconds."""
    p50, p99, most = (1e3 * percentile(took_s, percent) for percent in (50, 99, 100))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {most:.1f} ms"
