"""Writes transitions as messages, for people in Discord and for programs. Pure.

Names may be hostile: in Discord they are escaped, so they format nothing and mention nobody.
"""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from services.relay.protocol.dates import iso
from services.relay.service.durations import exact
from services.uplink.reporting.alerts.conditions import Condition, Transition

MAX_CHARS = 1_800  # of a message: Discord takes 2,000, and the last line counts what does not fit

MAX_LISTED = 100  # number of transitions in one body for programs

_MARKDOWN = re.compile(r"([!-/:-@\[-`{-~])")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

_SHORT: dict[tuple[Condition, bool], str] = {
    (Condition.SILENT, True): "silent",
    (Condition.SILENT, False): "back",
    (Condition.REFUSED, True): "refused by Takaro",
    (Condition.REFUSED, False): "accepted by Takaro again",
    (Condition.BACKLOG, True): "with a backlog",
    (Condition.BACKLOG, False): "without a backlog again",
}


def sentence(transition: Transition) -> str:
    """The transition as a sentence, without the name of the instance."""
    lasted = exact(transition.at_s - transition.since_s)
    match transition.condition, transition.began:
        case Condition.SILENT, True:
            return f"the game server is silent: nothing was heard of its mod for {lasted}"
        case Condition.SILENT, False:
            return f"the game server is back after {lasted}"
        case Condition.REFUSED, True:
            return "Takaro refuses this server: the status page, `dayz-relay doctor` and uplink's log say why"
        case Condition.REFUSED, False:
            return f"Takaro accepts this server again after {lasted}"
        case Condition.BACKLOG, True:
            oldest = exact(transition.seen.oldest_s)
            return (
                f"{transition.seen.events:,} events wait for Takaro, the oldest for {oldest};"
                f" the link is {transition.seen.link or 'not there yet'}"
            )
        case _:
            return f"the backlog is gone after {lasted}"


def discord(transitions: Sequence[Transition]) -> dict[str, Any]:
    """The body of one Discord message for all transitions."""
    lines: list[str] = []
    left = MAX_CHARS
    for number, transition in enumerate(transitions):
        mark = "\N{LARGE RED CIRCLE}" if transition.began else "\N{LARGE GREEN CIRCLE}"
        name, slug = escaped(transition.seen.name), escaped(transition.slug)
        line = f"{mark} **{name}** ({slug}): {escaped(sentence(transition))}"
        if len(line) + 1 > left:
            lines.append(_rest(transitions[number:]))
            break
        left -= len(line) + 1
        lines.append(line)
    return {
        "username": "dayz-relay",
        "content": "\n".join(lines),
        "allowed_mentions": {"parse": []},
        "flags": 1 << 2,  # no previews of what looks like a link
    }


def generic(transitions: Sequence[Transition]) -> dict[str, Any]:
    """The body for programs: a list of alerts, and the number of those that it leaves out."""
    return {
        "source": "dayz-relay",
        "alerts": [
            {
                "instance": transition.slug,
                "name": transition.seen.name,
                "condition": transition.condition.value,
                "state": "began" if transition.began else "ended",
                "since": _iso(transition.since_s),
                "at": _iso(transition.at_s),
                "text": sentence(transition),
            }
            for transition in transitions[:MAX_LISTED]
        ],
        "more": max(0, len(transitions) - MAX_LISTED),
    }


def escaped(text: str) -> str:
    """The text as Discord shows it unchanged on one line: no markdown, no link, no mention."""
    return _MARKDOWN.sub(r"\\\1", _UNPRINTABLE.sub(" ", text))


def _rest(transitions: Sequence[Transition]) -> str:
    counts = Counter(_SHORT[one.condition, one.began] for one in transitions)
    return "\N{HORIZONTAL ELLIPSIS} and " + ", ".join(
        f"{count:,} more {what}" for what, count in counts.items()
    )


def _iso(wall_s: float) -> str:
    return iso(datetime.fromtimestamp(wall_s, UTC))
