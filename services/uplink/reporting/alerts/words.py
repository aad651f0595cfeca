"""Transitions in words, for people in Discord and for programs. Pure.

Names are text of others: in Discord they are shown as they are, and call nobody.
"""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from services.uplink.reporting.alerts.conditions import Condition, Transition

MAX_CHARS = 1_800
"""Discord takes 2,000. What does not fit is counted in the last line."""

MAX_LISTED = 100

_NOTABLE = re.compile(r"([!-/:-@\[-`{-~])")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

_SHORT: dict[tuple[Condition, bool], str] = {
    (Condition.SILENT, True): "silent",
    (Condition.SILENT, False): "back",
    (Condition.REFUSED, True): "refused by Takaro",
    (Condition.REFUSED, False): "accepted by Takaro again",
    (Condition.BACKLOG, True): "with a backlog",
    (Condition.BACKLOG, False): "without a backlog again",
}


def sentence(told: Transition) -> str:
    """What has happened, without the name of the instance."""
    lasted = duration(told.at_s - told.since_s)
    match told.condition, told.began:
        case Condition.SILENT, True:
            return f"the game server is silent: nothing was heard of its mod for {lasted}"
        case Condition.SILENT, False:
            return f"the game server is back after {lasted}"
        case Condition.REFUSED, True:
            return "Takaro refuses this server: the status page, `dayz-relay doctor` and uplink's log say why"
        case Condition.REFUSED, False:
            return f"Takaro accepts this server again after {lasted}"
        case Condition.BACKLOG, True:
            oldest = duration(told.seen.oldest_s)
            return (
                f"{told.seen.events:,} events wait for Takaro, the oldest for {oldest};"
                f" the link is {told.seen.link or 'not there yet'}"
            )
        case _:
            return f"the backlog is gone after {lasted}"


def discord(all_told: Sequence[Transition]) -> dict[str, Any]:
    """The body of one message for all of them."""
    lines: list[str] = []
    left = MAX_CHARS
    for number, told in enumerate(all_told):
        mark = "\N{LARGE RED CIRCLE}" if told.began else "\N{LARGE GREEN CIRCLE}"
        line = f"{mark} **{escaped(told.seen.name)}** ({escaped(told.slug)}): {escaped(sentence(told))}"
        if len(line) + 1 > left:
            lines.append(_rest(all_told[number:]))
            break
        left -= len(line) + 1
        lines.append(line)
    return {
        "username": "dayz-relay",
        "content": "\n".join(lines),
        "allowed_mentions": {"parse": []},
        "flags": 1 << 2,  # no previews of what looks like a link
    }


def generic(all_told: Sequence[Transition]) -> dict[str, Any]:
    """The body for programs: a list, and how many more there were."""
    return {
        "source": "dayz-relay",
        "alerts": [
            {
                "instance": told.slug,
                "name": told.seen.name,
                "condition": told.condition.value,
                "state": "began" if told.began else "ended",
                "since": _iso(told.since_s),
                "at": _iso(told.at_s),
                "text": sentence(told),
            }
            for told in all_told[:MAX_LISTED]
        ],
        "more": max(0, len(all_told) - MAX_LISTED),
    }


def escaped(text: str) -> str:
    """Text that Discord shows as it is: no markdown, no link, nobody mentioned, and on its line."""
    return _NOTABLE.sub(r"\\\1", _UNPRINTABLE.sub(" ", text))


def duration(seconds: float) -> str:
    """As a person says it: "45 s", "12 min", "3 h 5 min", "2 d 4 h"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    for unit, unit_s, part, part_s in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60)):
        if whole >= unit_s:
            rest = whole % unit_s // part_s
            return f"{whole // unit_s} {unit}" + (f" {rest} {part}" if rest else "")
    return f"{whole // 60} min"


def _rest(told: Sequence[Transition]) -> str:
    counts = Counter(_SHORT[one.condition, one.began] for one in told)
    return "\N{HORIZONTAL ELLIPSIS} and " + ", ".join(
        f"{count:,} more {what}" for what, count in counts.items()
    )


def _iso(wall_s: float) -> str:
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
