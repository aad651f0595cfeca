"""What is counted in plain numbers is shown as prometheus_client shows it."""

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from services.relay.service.metric_table import Metric

BOUNDS = (0.001, 0.5, 1.0)


def test_a_histogram_shows_what_that_of_prometheus_shows() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    table = {"call": ("events", "poll")}
    made = Metric("took_seconds", Histogram, "How long it took.", table, BOUNDS).instrument(ours)
    own = Histogram("took_seconds", "How long it took.", ("call",), buckets=BOUNDS, registry=theirs)
    for call in table["call"]:
        own.labels(call)
    for value in (0.0, 0.001, 0.002, 0.5, 1.0, 7.0):
        made.labels("poll").observe(value)  # type: ignore[attr-defined]
        own.labels("poll").observe(value)
    shown, expected = (
        [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]
        for registry in (ours, theirs)
    )
    assert shown == expected
