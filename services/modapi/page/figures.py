"""Numbers, times, states and the last 24 hours, as people read and see them. Pure."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from services.relay.instances.facts import ServerCause
from services.relay.instances.history import HalfHour, LinkUptime
from services.relay.service.durations import span

CAUSES = {
    ServerCause.NOT_SERVED: "not served",
    ServerCause.NO_TOKEN: "without a registration token",
    ServerCause.NO_OWNER: "without an uplink",
    ServerCause.NEVER_CALLED: "never called",
    ServerCause.SILENT: "silent",
    ServerCause.NOT_LINKED: "not linked",
}
"""Why servers are not up."""

LINK_HEIGHTS = {LinkUptime.UP: 2, LinkUptime.PARTLY: 4, LinkUptime.DOWN: 6}
"""The line of a link is the thicker, the worse it is: not everybody sees its colour."""


def polls(hold_ms: int) -> str:
    """How long a poll of the mod may be held: meanwhile a command reaches the mod at once."""
    return f"held {hold_ms / 1000:.1f} s" if hold_ms else "not held"


def ago(seconds: float | None) -> str:
    """As in the diagnosis; "just now" for up to 15 s: the text stays the same while a mod calls."""
    if seconds is None:
        return "never"
    return "just now" if seconds < 15 else f"{span(seconds)} ago"


def thousands(number: int) -> str:
    """The number with narrow spaces between its thousands."""
    return f"{number:,}".replace(",", "\u202f")


def counted(number: int, one: str) -> str:
    """The number with its noun: "1 event", "1 200 events"."""
    return f"{thousands(number)} {one}{'s' * (number != 1)}"


def duration(ms: int) -> str:
    """A duration as "12 ms", "1.5 s" or "3 min"."""
    return f"{ms} ms" if ms < 1_000 else f"{ms / 1000:.1f} s" if ms < 120_000 else span(ms / 1000)


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
