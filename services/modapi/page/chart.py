"""The last hour of an instance as a picture: events accepted a minute, and how long they took. Pure.

Shapes alone are drawn; what is to be read stands beside them as text, so that it keeps its size.
"""

from collections.abc import Sequence

from services.modapi.page.markup import Html, html
from services.modapi.page.words import took
from services.relay.instances.minutes import Minute

HEIGHT = 100
STEP = 10
GAP = 2

_CHART = """\
<figure class="chart">
<figcaption>{title} <span class="dim">{legend}{summary}</span></figcaption>
<div class="plot"><span class="top">{most}</span>
<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img" aria-label="{title}: {summary}">
{shapes}</svg>
</div>
<div class="axis"><span>{first}</span><span>now</span></div>
</figure>
"""

_LEGEND = html('<span class="key p50"></span> half of them <span class="key p99"></span> 99 %; ')


def charts(hour: Sequence[Minute]) -> Html:
    """Both pictures."""
    return html("{all}", all=[_rate(hour), _latency(hour)])


def _rate(hour: Sequence[Minute]) -> Html:
    most = nice(max((minute.accepted for minute in hour), default=0))
    total, delivered = sum(one.accepted for one in hour), sum(one.events for one in hour)
    commands = sum(one.commands for one in hour)
    shapes = [
        _bar(
            place,
            minute.accepted,
            most,
            "rate",
            f"{minute.accepted} events, {minute.events} delivered, {minute.commands} commands",
            minute,
        )
        for place, minute in enumerate(hour)
    ]
    summary = (
        f"{_number(total)} in the last hour, {_number(delivered)} delivered;"
        f" {_number(commands)} command{'s' * (commands != 1)}"
    )
    return _chart("Events a minute", summary, _number(most) if total else "", shapes, hour)


def _latency(hour: Sequence[Minute]) -> Html:
    busy = [minute for minute in hour if minute.events]
    most = nice(max((minute.p99_ms for minute in busy), default=0))
    shapes = []
    for place, minute in enumerate(hour):
        words = f"half within {took(minute.p50_ms)}, 99 % within {took(minute.p99_ms)}"
        if minute.events:
            shapes += [
                _bar(place, minute.p99_ms, most, "p99", words, minute),
                _bar(place, minute.p50_ms, most, "p50", words, minute),
            ]
    worst = max((minute.p99_ms for minute in busy), default=0)
    title = "From the mod's post to Takaro's receipt"
    if not busy:
        return _chart(title, "nothing passed", "", shapes, hour)
    return _chart(title, f"{took(worst)} at the worst", took(most), shapes, hour, _LEGEND)


def _chart(
    title: str,
    summary: str,
    most: str,
    shapes: list[Html],
    hour: Sequence[Minute],
    legend: Html | None = None,
) -> Html:
    return html(
        _CHART,
        title=title,
        legend=legend,
        summary=summary,
        most=most,
        width=len(hour) * STEP,
        height=HEIGHT,
        shapes=shapes,
        first=f"{len(hour)} min ago",
    )


def _bar(place: int, value: int, most: int, kind: str, words: str, minute: Minute) -> Html:
    height = round(HEIGHT * value / most, 1) if value else 0
    if height:
        height = max(height, 2)
    return html(
        '<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}">'
        "<title>{at} UTC: {words}</title></rect>",
        kind=kind,
        x=place * STEP,
        y=round(HEIGHT - height, 1),
        width=STEP - GAP,
        height=height,
        at=f"{minute.minute // 60 % 24:02d}:{minute.minute % 60:02d}",
        words=words,
    )


def _number(number: int) -> str:
    """With its thousands apart."""
    return f"{number:,}".replace(",", "\u202f")


def nice(value: float) -> int:
    """The next round number up: 1, 2 or 5 with zeros."""
    size = 1
    while True:
        for step in (1, 2, 5):
            if value <= step * size:
                return step * size
        size *= 10
