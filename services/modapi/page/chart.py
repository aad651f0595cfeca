"""The last hour of an instance as two charts: events accepted a minute, and how long they took. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from services.modapi.page.words import duration, thousands
from services.relay.instances.minutes import Minute

HEIGHT = 100
STEP = 10
GAP = 2


class Bar(NamedTuple):
    """A rectangle of a chart; `kind` is its class in page.css."""

    kind: str
    x: int
    y: float
    height: float
    text: str
    width: int = STEP - GAP


class Chart(NamedTuple):
    """`most` is the value at the top of the scale, "" without a scale."""

    title: str
    summary: str
    most: str
    bars: list[Bar]
    minutes: int
    legend: bool = False
    height: int = HEIGHT

    @property
    def width(self) -> int:
        return self.minutes * STEP


def charts(hour: Sequence[Minute]) -> list[Chart]:
    """Both charts."""
    return [_events_a_minute(hour), _latency(hour)]


def _events_a_minute(hour: Sequence[Minute]) -> Chart:
    most = nice(max((minute.accepted for minute in hour), default=0))
    total, delivered = sum(one.accepted for one in hour), sum(one.events for one in hour)
    commands = sum(one.commands for one in hour)
    bars = []
    for place, minute in enumerate(hour):
        text = f"{minute.accepted} events, {minute.events} delivered, {minute.commands} commands"
        bars.append(_bar("rate", place, minute, minute.accepted / most, text))
    summary = (
        f"{thousands(total)} in the last hour, {thousands(delivered)} delivered;"
        f" {thousands(commands)} command{'s' * (commands != 1)}"
    )
    return Chart("Events a minute", summary, thousands(most) if total else "", bars, len(hour))


def _latency(hour: Sequence[Minute]) -> Chart:
    title = "From the mod's post to Takaro's receipt"
    worst = max((minute.p99_ms for minute in hour if minute.events), default=None)
    if worst is None:
        return Chart(title, "nothing passed", "", [], len(hour))
    most = nice(worst)
    bars = []
    for place, minute in enumerate(hour):
        if minute.events:
            text = f"half within {duration(minute.p50_ms)}, 99 % within {duration(minute.p99_ms)}"
            bars.append(_bar("p99", place, minute, minute.p99_ms / most, text))
            bars.append(_bar("p50", place, minute, minute.p50_ms / most, text))
    return Chart(title, f"{duration(worst)} at the worst", duration(most), bars, len(hour), legend=True)


def _bar(kind: str, place: int, minute: Minute, share: float, text: str) -> Bar:
    """`share` of the height is filled; a bar that is not empty is at least 2 high, so that it is seen."""
    height = max(round(HEIGHT * share, 1), 2) if share else 0
    at = f"{minute.minute // 60 % 24:02d}:{minute.minute % 60:02d}"
    return Bar(kind, place * STEP, round(HEIGHT - height, 1), height, f"{at} UTC: {text}")


def nice(value: float) -> int:
    """The next round number up: 1, 2 or 5 with zeros."""
    size = 1
    while True:
        for step in (1, 2, 5):
            if value <= step * size:
                return step * size
        size *= 10
