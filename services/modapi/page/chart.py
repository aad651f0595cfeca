"""What the charts of a server say and draw of its last 24 hours, and where their scales end. Pure."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from services.modapi.page.words import counted
from services.relay.instances.history import HalfHour, LinkUptime
from services.relay.service.durations import span

LINK_HEIGHTS = {LinkUptime.UP: 2, LinkUptime.PARTLY: 4, LinkUptime.DOWN: 6}
"""The line of a link is the thicker, the worse it is: not everybody sees its colour."""


class DayBar(NamedTuple):
    """The last 24 hours in the row of a server: `events` and `links` (by LinkUptime) are paths of SVG, in a
    box of 48 by 22."""

    summary: str
    events: str
    links: dict[str, str]


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
            high = LINK_HEIGHTS[link]
            links[link] = links.get(link, "") + f"M{place} 16h{long}v{high}h-{long}z"
        place += long
    return DayBar(day_in_words(half_hours), f"M0 14{events}V14z", links)


def day_in_words(half_hours: Sequence[HalfHour]) -> str:
    """How many events came, and for how much of the time the link was up."""
    known = [one for one in half_hours if one.link is not LinkUptime.UNKNOWN]
    if not known:
        return "nothing is known of the last 24 hours yet"
    events = counted(sum(one.accepted for one in half_hours), "event")
    length_s = sum(one.length_s for one in known)
    up = all(one.link is LinkUptime.UP for one in known)
    share = 100 if up else min(99, 100 * sum(one.linked_s for one in known) // length_s)
    known_for = "24 h" if len(known) > len(half_hours) - 2 else span(length_s)
    return f"{events} in {known_for}, link up {share} %"


def nice(value: float) -> int:
    """The next round number up: 1, 2 or 5 with zeros."""
    size = 1
    while True:
        for step in (1, 2, 5):
            if value <= step * size:
                return step * size
        size *= 10
