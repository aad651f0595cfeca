"""The metrics with the label `instance`, which grow with the fleet, and their text for Prometheus.

The text is written here, in pieces on the loop. A custom collector of prometheus_client makes an object and
a dict for each sample. Measured with 1,000 instances of nine samples each, medians of 20: the longest socket
round trip of uvloop while one scrape is written.

    nothing is written (the machine was busy)             0.2 to 4.2 ms
    these pieces, with all other metrics of uplink        3.4 to 5.9 ms (the longest piece: 2.5 to 4.6 ms)
    this text in a thread, without them                 10.7 to 12.1 ms
    a custom collector in a thread, without them        24.6 to 33.7 ms, and five times the CPU
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

ROWS_AT_ONCE = 250  # number of instances of which one metric is written before the loop does other work


Fold = Callable[[Iterable[float]], float]  # one value for all instances together: `sum`, `max` or `earliest`


def earliest(moments: Iterable[float]) -> float:
    """The earliest moment; 0 means none."""
    return min(filter(None, moments), default=0.0)


@dataclass(frozen=True, slots=True, eq=False)  # the identity is its hash: it is looked up for each sample
class Series:
    """A metric with the label `instance`, and one more if `label` names it.

    Without a `fold` it is not shown for all instances together: the sum of a counter would fall when an
    instance moves away, and Prometheus would take that for a restart. One that is not `apart` is shown for
    all together only: each that is costs a thousand samples in a fleet of a thousand.
    """

    name: str
    kind: str
    meaning: str
    fold: Fold | None
    label: str = ""
    label_values: tuple[str, ...] = ()
    apart: bool = True


class SeriesRow:
    """The values of one instance. A row that is not `shown()` is shown by another process."""

    def __init__(self, shown: Callable[[], bool]) -> None:
        self.shown = shown
        self.values: dict[Series, dict[str, float]] = {}

    def set(self, series: Series, value: float, label: str = "") -> None:
        self.values.setdefault(series, {})[label] = value

    def set_only(self, series: Series, label: str) -> None:
        """1 for that value of the label, and no series for the others."""
        self.values[series] = {label: 1.0}


class InstanceSeries:
    """All rows of one process, and their text. Slugs need no escape: they are of a-z, 0-9 and -."""

    def __init__(self, table: Sequence[Series], *, per_instance: bool = True) -> None:
        self.table = table
        self._per_instance = per_instance
        self._rows: dict[str, SeriesRow] = {}

    def row(self, slug: str) -> SeriesRow:
        """The row of an instance, made when it is asked for first. Its counters begin at 0.

        A counter may keep the row's `values`: what it counts after this is not shown.
        """
        row = self._rows.get(slug)
        if row is None:
            row = self._rows[slug] = SeriesRow(lambda: True)
            for series in self.table:
                if series.kind == "counter":
                    row.set(series, 0.0)
        return row

    def forget(self, slug: str) -> None:
        self._rows.pop(slug, None)

    def pieces(self) -> Iterator[str]:
        """The text of all rows. No piece takes more than ROWS_AT_ONCE rows to write; some are empty."""
        rows = [(slug, row) for slug, row in self._rows.items() if row.shown()]
        groups = [rows[start : start + ROWS_AT_ONCE] for start in range(0, len(rows), ROWS_AT_ONCE)]
        for series in self.table:
            if self._per_instance or series.fold:
                yield f"# HELP {series.name} {series.meaning}\n# TYPE {series.name} {series.kind}\n"
                if series.fold and not (self._per_instance and series.apart):
                    yield from self._together(series, series.fold, groups)
                else:
                    yield from (self._apart(series, group) for group in groups)

    def _apart(self, series: Series, group: list[tuple[str, SeriesRow]]) -> str:
        return "".join(
            _sample(series, label, value, f'instance="{slug}"')
            for slug, row in group
            for label, value in row.values.get(series, {}).items()
        )

    def _together(
        self, series: Series, fold: Fold, groups: list[list[tuple[str, SeriesRow]]]
    ) -> Iterator[str]:
        found: dict[str, list[float]] = {}
        for group in groups:
            for _, row in group:
                for label, value in row.values.get(series, {}).items():
                    found.setdefault(label, []).append(value)
            yield ""
        for label, values in found.items():
            yield _sample(series, label, fold(values))


def _sample(series: Series, label: str, value: float, instance: str = "") -> str:
    further = f'{series.label}="{label}"' if series.label else ""
    return f"{series.name}{{{instance}{',' if instance and further else ''}{further}}} {value!r}\n"
