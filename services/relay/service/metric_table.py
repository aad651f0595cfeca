"""How metrics are described: each once, in the table of its service. Instruments and docs come from it."""

from bisect import bisect_left
from collections.abc import Iterable
from functools import partial
from itertools import product
from typing import NamedTuple, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase


class Metric(NamedTuple):
    """One metric. `labels` has every value of each label, or none if the values are not known before."""

    name: str
    kind: type[MetricWrapperBase]
    meaning: str
    labels: dict[str, tuple[str, ...]]
    buckets: tuple[float, ...] = ()

    def instrument(self, registry: CollectorRegistry) -> MetricWrapperBase:
        """What counts it. Each of its series exists at once: a dashboard shows 0 then, not "no data"."""
        kind = partial(LoopHistogram, buckets=self.buckets) if self.kind is Histogram else self.kind
        made = kind(self.name, self.meaning, tuple(self.labels), registry=registry)
        for values in product(*self.labels.values()) if self.labels else ():
            made.labels(*values)
        return made


class LoopHistogram(Histogram):
    """A histogram of values that only the loop observes.

    prometheus_client's own one takes a lock twice for each value: 2.3 µs in place of 0.8 with all around it.
    """

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        self._buckets[bisect_left(self._upper_bounds, amount)]._value += 1
        self._sum._value += amount


def counter(name: str, meaning: str, **labels: Iterable[str]) -> Counter:
    """Describes a counter, for the body of a MetricTable, whose objects have the Counter itself."""
    return cast(Counter, Metric(name, Counter, meaning, _texts(labels)))


def gauge(name: str, meaning: str, **labels: Iterable[str]) -> Gauge:
    return cast(Gauge, Metric(name, Gauge, meaning, _texts(labels)))


def histogram(name: str, meaning: str, buckets: tuple[float, ...], **labels: Iterable[str]) -> Histogram:
    return cast(Histogram, Metric(name, Histogram, meaning, _texts(labels), buckets))


def _texts(labels: dict[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    return {label: tuple(map(str, values)) for label, values in labels.items()}


class MetricTable:
    """A table of metrics: each attribute of a subclass is one. An object of it has their instruments instead:
    code that counts finds its metric without a look-up."""

    def __init__(self, registry: CollectorRegistry) -> None:
        for attribute, metric in vars(type(self)).items():
            if isinstance(metric, Metric):
                setattr(self, attribute, metric.instrument(registry))

    @classmethod
    def metrics(cls) -> list[Metric]:
        return [one for one in vars(cls).values() if isinstance(one, Metric)]
