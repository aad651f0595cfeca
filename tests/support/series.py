"""What is shown of instances, as a parser of Prometheus' format finds it."""

from prometheus_client.parser import text_string_to_metric_families

from services.relay.service.instance_series import InstanceSeries


def shown(series: InstanceSeries) -> dict[tuple[str, str, str], float]:
    """Name, instance, further label -> value."""
    found = {}
    for family in text_string_to_metric_families("".join(series.pieces())):
        for sample in family.samples:
            labels = dict(sample.labels)
            instance = labels.pop("instance", "")
            found[sample.name, instance, next(iter(labels.values()), "")] = sample.value
    return found
