"""The last hour and the last 24 hours of an instance as charts. Pure."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from services.modapi.page.words import counted, duration, thousands
from services.relay.instances.half_hours import LENGTH_S, HalfHour, LinkUptime
from services.relay.instances.minutes import Minute
from services.relay.service.durations import span

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
    """`most` is the value at the top of the scale, "" without a scale; `begin` says when it begins."""

    title: str
    summary: str
    most: str
    bars: list[Bar]
    steps: int
    begin: str = "60 min ago"
    legend: bool = False
    height: int = HEIGHT

    @property
    def width(self) -> int:
        return self.steps * STEP


class DayBar(NamedTuple):
    """The last 24 hours in the row of a server: `events` and `links` (by LinkUptime) are paths of SVG, in a
    box of 48 by 22."""

    summary: str
    events: str
    links: dict[str, str]


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
        bars.append(_bar("rate", place, minute.minute, minute.accepted / most, text))
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
            bars.append(_bar("p99", place, minute.minute, minute.p99_ms / most, text))
            bars.append(_bar("p50", place, minute.minute, minute.p50_ms / most, text))
    return Chart(title, f"{duration(worst)} at the worst", duration(most), bars, len(hour), legend=True)


def day_chart(half_hours: Sequence[HalfHour]) -> Chart:
    """The last 24 hours on the page of a server."""
    most = nice(max(one.accepted for one in half_hours))
    bars = []
    for place, one in enumerate(half_hours):
        minute, text = one.number * LENGTH_S // 60, f"{counted(one.accepted, 'event')}, {_link_in_words(one)}"
        bars.append(_bar("rate", place, minute, one.accepted / most, text))
        if one.link is not LinkUptime.UNKNOWN:
            bars.append(Bar(one.link, place * STEP, HEIGHT + 3, 2 * _THICK[one.link], bars[-1].text, STEP))
    top = thousands(most) if any(one.accepted for one in half_hours) else ""
    return Chart(
        "Events in half an hour, and whether the link to Takaro was up",
        _day_in_words(half_hours),
        top,
        bars,
        len(half_hours),
        begin="24 h ago",
        height=HEIGHT + 2 * max(_THICK.values()) + 3,
    )


def day_bar(half_hours: Sequence[HalfHour]) -> DayBar:
    """The last 24 hours in the row of a server."""
    most = max(1, *(one.accepted for one in half_hours))
    heights = [-(-14 * one.accepted // most) for one in half_hours]
    events = "".join(f"V{14 - height}h{len(list(run))}" for height, run in groupby(heights))
    links: dict[str, str] = {}
    place = 0
    for link, run in groupby(one.link for one in half_hours):
        long = len(list(run))
        if link is not LinkUptime.UNKNOWN:
            thick = _THICK[link]
            links[link] = links.get(link, "") + f"M{place} 16h{long}v{thick}h-{long}z"
        place += long
    return DayBar(_day_in_words(half_hours), f"M0 14{events}V14z", links)


_THICK = {LinkUptime.UP: 2, LinkUptime.PARTLY: 4, LinkUptime.DOWN: 6}
"""How thick the line of a link is: not everybody sees its colour."""


def _day_in_words(half_hours: Sequence[HalfHour]) -> str:
    known = [one for one in half_hours if one.link is not LinkUptime.UNKNOWN]
    if not known:
        return "nothing is known of the last 24 hours yet"
    events = counted(sum(one.accepted for one in half_hours), "event")
    length_s = sum(one.length_s for one in known)
    up = all(one.link is LinkUptime.UP for one in known)
    share = 100 if up else min(99, 100 * sum(one.linked_s for one in known) // length_s)
    known_for = "24 h" if len(known) > len(half_hours) - 2 else span(length_s)
    return f"{events} in {known_for}, link up {share} %"


def _link_in_words(half_hour: HalfHour) -> str:
    if half_hour.link is LinkUptime.PARTLY:
        return f"link up for {half_hour.linked_s // 60} of {half_hour.length_s // 60} min"
    return f"link {half_hour.link.value}"


def _bar(kind: str, place: int, minute: int, share: float, text: str) -> Bar:
    """`share` of the height is filled; a bar that is not empty is at least 2 high, so that it is seen.

    `minute` since 1970 is when it begins.
    """
    height = max(round(HEIGHT * share, 1), 2) if share else 0
    at = f"{minute // 60 % 24:02d}:{minute % 60:02d}"
    return Bar(kind, place * STEP, round(HEIGHT - height, 1), height, f"{at} UTC: {text}")


def nice(value: float) -> int:
    """The next round number up: 1, 2 or 5 with zeros."""
    size = 1
    while True:
        for step in (1, 2, 5):
            if value <= step * size:
                return step * size
        size *= 10
