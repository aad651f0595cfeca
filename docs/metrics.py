"""docs/metrics.md: every metric, from the instruments themselves."""

from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from services.modapi.metrics import ModapiMetrics as ModApiMetrics
from services.relay.protocol.limits import MODAPI_LIMITS, UPLINK_LIMITS
from services.relay.protocol.link_states import LinkState
from services.relay.service.instance_series import InstanceSeries, Series
from services.relay.service.metrics import ServiceMetrics
from services.uplink.reporting.metrics import MIRROR_PARTS
from services.uplink.reporting.metrics import UplinkMetrics as UplinkMetrics

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
FOLDS = {"SUM": "sum", "MOST": "greatest", "EARLIEST": "earliest"}
SERIES_LABELS = {"state": [state.value for state in LinkState], "part": list(MIRROR_PARTS)}


def instruments(registry: CollectorRegistry) -> list[MetricWrapperBase]:
    """All that were made with this registry, in their order."""
    return [one for one in registry._collector_to_names if isinstance(one, MetricWrapperBase)]


def name_of(metric: MetricWrapperBase) -> str:
    return f"{metric._name}_total" if metric._type == "counter" else str(metric._name)


def services() -> dict[str, tuple[list[MetricWrapperBase], InstanceSeries]]:
    """Title -> instruments, and the series of each instance."""
    shared, modapi, uplink = CollectorRegistry(), CollectorRegistry(), CollectorRegistry()
    none = InstanceSeries(())
    ServiceMetrics(shared, "", none, dict.fromkeys((*MODAPI_LIMITS, *UPLINK_LIMITS)))
    both = instruments(shared)
    known = {metric._name for metric in both}
    found = {"both services": (both, none)}
    ModApiMetrics(modapi)
    for title, registry, series in (
        ("modapi", modapi, none),
        ("uplink", uplink, UplinkMetrics(uplink).instances),
    ):
        found[title] = ([one for one in instruments(registry) if one._name not in known], series)
    return found


def names() -> set[str]:
    """Every name that a query may use, without the suffixes of histograms."""
    return {
        *(name_of(metric) for metrics, _ in services().values() for metric in metrics),
        *(series.name for _, one in services().values() for series in one.table),
    }


def exported() -> set[str]:
    """Every name in what the services show."""
    histograms = {
        name_of(metric)
        for metrics, _ in services().values()
        for metric in metrics
        if metric._type == "histogram"
    }
    parts = {f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")}
    return (names() - histograms) | parts


def _row(metric: MetricWrapperBase) -> str:
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)
    return f"| `{name_of(metric)}` | {metric._type} | {labels} | {metric._documentation} |"


def _series_row(series: Series) -> str:
    labels = ", ".join(f"`{label}`" for label in ("instance" * series.apart, series.label) if label)
    together = f"the {FOLDS[series.fold.name]}" if series.fold else "not shown"
    meaning = f"{series.meaning} ({'Of' if series.apart else 'Always of'} all instances: {together}.)"
    return f"| `{series.name}` | {series.kind} | {labels} | {meaning} |"


def values() -> dict[tuple[str, str], list[str]]:
    """(metric, label) -> every value of it, where the set is fixed."""
    found: dict[tuple[str, str], list[str]] = {}
    for metrics, instances in services().values():
        for metric in metrics:
            for place, label in enumerate(metric._labelnames):
                if not metric._name.endswith("_info"):
                    of = found.setdefault((name_of(metric), label), [])
                    of += dict.fromkeys(key[place] for key in metric._metrics)
        for series in instances.table:
            if series.label:
                found[series.name, series.label] = SERIES_LABELS[series.label]
    return found


def _value_rows() -> Iterator[str]:
    """A row for each label and set of values."""
    users: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (name, label), of in values().items():
        users.setdefault((label, tuple(of)), []).append(name)
    for (label, of_label), names_of in users.items():
        cells = [", ".join(f"`{word}`" for word in words) for words in (names_of, of_label)]
        yield f"| `{label}` | {' | '.join(cells)} |"


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, (metrics, instances) in services().items():
        rows = [*map(_row, metrics), *map(_series_row, instances.table)]
        parts.append("\n".join([f"## {title[0].upper()}{title[1:]}", "", COLUMNS, *rows, ""]))
    head = ["## Values of labels", "", "| label | of | values |", "|---|---|---|"]
    parts.append("\n".join([*head, *_value_rows(), ""]))
    return "\n".join(parts)
