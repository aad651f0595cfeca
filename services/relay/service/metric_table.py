"""How metrics are described: each once, in the table of its service. Instruments and docs come from it."""

from collections.abc import Iterable
from enum import Enum
from itertools import product
from typing import Any, NamedTuple, cast

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
        options: dict[str, Any] = {"buckets": self.buckets} if self.buckets else {}
        made = self.kind(self.name, self.meaning, tuple(self.labels), registry=registry, **options)
        for values in product(*self.labels.values()) if self.labels else ():
            made.labels(*values)
        return made


def counter(name: str, meaning: str, **labels: Iterable[str | Enum]) -> Counter:
    """Describes a counter, for the body of a MetricTable, whose objects have the Counter itself."""
    return cast(Counter, Metric(name, Counter, meaning, _texts(labels)))


def gauge(name: str, meaning: str, **labels: Iterable[str | Enum]) -> Gauge:
    """The same for a gauge."""
    return cast(Gauge, Metric(name, Gauge, meaning, _texts(labels)))


def histogram(
    name: str, meaning: str, buckets: tuple[float, ...], **labels: Iterable[str | Enum]
) -> Histogram:
    """The same for a histogram."""
    return cast(Histogram, Metric(name, Histogram, meaning, _texts(labels), buckets))


def _texts(labels: dict[str, Iterable[str | Enum]]) -> dict[str, tuple[str, ...]]:
    return {
        label: tuple(str(one.value) if isinstance(one, Enum) else one for one in values)
        for label, values in labels.items()
    }


class MetricTable:
    """A table of metrics: each attribute of a subclass is one. An object of it has their instruments instead.

    A subclass has as many attributes as there are metrics: code that counts names its metric, and finds it
    without a look-up.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        for attribute, metric in vars(type(self)).items():
            if isinstance(metric, Metric):
                setattr(self, attribute, metric.instrument(registry))

    @classmethod
    def metrics(cls) -> list[Metric]:
        """Its metrics, in their order."""
        return [one for one in vars(cls).values() if isinstance(one, Metric)]
