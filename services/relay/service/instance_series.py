"""Series with the label `instance`: the few that grow with the fleet, and how they are written.

prometheus_client takes 10 us for each sample, 80 ms at 1,000 instances, in which nothing else gets on. Here
a sample is one string.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain


def _earliest(moments: Iterable[float]) -> float:
    return min(filter(None, moments), default=0.0)


class Fold(Enum):
    """What stands for all instances when they are not to be told apart."""

    SUM = (sum,)
    MOST = (max,)
    EARLIEST = (_earliest,)  # of moments, 0 being none

    def __call__(self, values: Iterable[float]) -> float:
        fold: Callable[[Iterable[float]], float] = self.value[0]
        return fold(values)


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
    apart: bool = True


class SeriesRow:
    """The values of one instance. A row that is not `shown()` is another process' to tell."""

    def __init__(self, shown: Callable[[], bool]) -> None:
        self.shown = shown
        self.values: dict[Series, dict[str, float]] = {}

    def set(self, series: Series, value: float, label: str = "") -> None:
        self.values.setdefault(series, {})[label] = value

    def set_only(self, series: Series, label: str) -> None:
        """1 for that value of the label, and no series for the others."""
        self.values[series] = {label: 1.0}

    def add(self, series: Series, count: int) -> None:
        """Counts on."""
        self.values[series][""] += count


class InstanceSeries:
    """All rows of one process, and their text. Slugs need no escape: they are of a-z, 0-9 and -."""

    def __init__(self, table: Sequence[Series], *, per_instance: bool = True) -> None:
        self.table = table
        self._per_instance = per_instance
        self._rows: dict[str, SeriesRow] = {}

    def row(self, slug: str) -> SeriesRow:
        """The row of an instance, made when it is asked for first."""
        row = self._rows.get(slug)
        if row is None:
            row = self._rows[slug] = SeriesRow(lambda: True)
            for series in self.table:
                if series.kind == "counter":
                    row.set(series, 0.0)
        return row

    def forget(self, slug: str) -> None:
        """An instance that is gone has no series."""
        self._rows.pop(slug, None)

    def value(self, name: str, instance: str, label: str = "") -> float | None:
        """One value that is shown."""
        row = self._rows.get(instance)
        if row and row.shown():
            for series, values in row.values.items():
                if series.name == name:
                    return values.get(label)
        return None

    def text(self) -> str:
        """In the text format. Safe beside the loop: what it walks through are copies."""
        rows = [(slug, row) for slug, row in list(self._rows.items()) if row.shown()]
        table = [series for series in self.table if self._per_instance or series.fold]
        return "".join(chain.from_iterable(self._lines(series, rows) for series in table))

    def _lines(self, series: Series, rows: list[tuple[str, SeriesRow]]) -> Iterable[str]:
        yield f"# HELP {series.name} {series.meaning}\n# TYPE {series.name} {series.kind}\n"
        found = [
            (slug, label, value)
            for slug, row in rows
            for label, value in list(row.values.get(series, {}).items())
        ]
        if series.fold and not (self._per_instance and series.apart):
            together: dict[str, list[float]] = {}
            for _, label, value in found:
                together.setdefault(label, []).append(value)
            found = [("", label, series.fold(values)) for label, values in together.items()]
        for slug, label, value in found:
            labels = [f'instance="{slug}"'] if slug else []
            if series.label:
                labels.append(f'{series.label}="{label}"')
            yield f"{series.name}{{{','.join(labels)}}} {value!r}\n"
