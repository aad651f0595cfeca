"""docs/metrics.md: every metric, from the tables of the services."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from prometheus_client import Histogram

from services.modapi.metrics import ModapiMetrics
from services.relay.service.instance_series import Series, earliest
from services.relay.service.metric_table import Metric
from services.relay.service.metrics import ServiceMetrics
from services.uplink.reporting.metrics import PER_INSTANCE, UplinkMetrics

PAGE = Path(__file__).parent / "metrics.md"

HEAD = """\
# Metrics

`make docs` writes this page from the code. Both services answer `/metrics` on their admin port. Every
counter is there from the start, at zero. Process figures have the names that all clients of Prometheus give
them: `process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_open_fds` and so on.

Those with the label `instance` grow with the number of servers. Uplinks show them for the servers they own.
In Prometheus, scrape with `honor_labels: true`: `instance` is a game server, not an address
([prometheus.yml](../deploy/prometheus/prometheus.yml) does so).

`[metrics] per_instance = false` takes the label away: each uplink then shows the worst of its servers, or
their sum, and Prometheus puts the address of the uplink into `instance`. Alerts go on working and say "a
server". What dashboards list by server is then listed by uplink, "Mods silent" counts uplinks that have a
silent one, and "Events delivered" of a single server is empty.

The dashboards are in
[deploy/grafana](../deploy/grafana), the alerts in [deploy/prometheus/rules](../deploy/prometheus/rules),
and what to do about each in [runbooks.md](runbooks.md).
"""

COLUMNS = "| metric | type | labels | meaning |\n|---|---|---|---|"
FOLDS = {sum: "sum", max: "greatest", earliest: "earliest"}

TABLES: dict[str, tuple[list[Metric], Sequence[Series]]] = {
    "both services": (ServiceMetrics.metrics(), ()),
    "modapi": (ModapiMetrics.metrics(), ()),
    "uplink": (UplinkMetrics.metrics(), PER_INSTANCE),
}
"""Title -> metrics, and those of each instance."""


def names() -> set[str]:
    """Every name that a query may use, without the suffixes of histograms."""
    return {one.name for metrics, series in TABLES.values() for one in (*metrics, *series)}


def exported() -> set[str]:
    """Every name in what the services show."""
    histograms = {one.name for metrics, _ in TABLES.values() for one in metrics if one.kind is Histogram}
    parts = {f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")}
    return (names() - histograms) | parts


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind.__name__.lower()} | {labels} | {metric.meaning} |"


def _series_row(series: Series) -> str:
    labels = ", ".join(f"`{label}`" for label in ("instance" * series.apart, series.label) if label)
    together = f"the {FOLDS[series.fold]}" if series.fold else "not shown"
    meaning = f"{series.meaning} ({'Of' if series.apart else 'Always of'} all instances: {together}.)"
    return f"| `{series.name}` | {series.kind} | {labels} | {meaning} |"


def values() -> dict[tuple[str, str], tuple[str, ...]]:
    """(metric, label) -> every value of it, where the set is fixed."""
    found = {}
    for metrics, table in TABLES.values():
        for metric in metrics:
            found.update({(metric.name, label): of for label, of in metric.labels.items() if of})
        found.update({(one.name, one.label): one.label_values for one in table if one.label})
    return found


def _value_rows() -> Iterator[str]:
    """A row for each label and set of values."""
    users: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (name, label), of in values().items():
        users.setdefault((label, of), []).append(name)
    for (label, of_label), names_of in users.items():
        cells = [", ".join(f"`{word}`" for word in words) for words in (names_of, of_label)]
        yield f"| `{label}` | {' | '.join(cells)} |"


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, (metrics, series) in TABLES.items():
        rows = [*map(_row, metrics), *map(_series_row, series)]
        parts.append("\n".join([f"## {title[0].upper()}{title[1:]}", "", COLUMNS, *rows, ""]))
    head = ["## Values of labels", "", "| label | of | values |", "|---|---|---|"]
    parts.append("\n".join([*head, *_value_rows(), ""]))
    return "\n".join(parts)
