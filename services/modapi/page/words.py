"""Numbers, times and events as people read them. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import IntEnum, unique
from typing import Any

from services.modapi.page.markup import Html, html
from services.relay.instances.activity import ActivityEntry
from services.relay.instances.diagnosis import Problem
from services.relay.protocol.link_states import LinkState
from services.relay.service.durations import span


@unique
class Severity(IntEnum):
    """How an instance is; the worst first."""

    BAD = 0
    WARN = 1
    GOOD = 2
    OFF = 3


BADGES = {Severity.BAD: "down", Severity.WARN: "attention", Severity.GOOD: "up", Severity.OFF: "off"}

FATES = {
    "delivered": "delivered",
    "waiting": "waits for Takaro",
    "dead": "put aside",
    "expired": "too old, not sent",
    "refused": "refused",
    "answered": "done",
    "not_delivered": "not delivered",
    "no_result": "delivered, no result: it may have run",
    "queue_full": "not delivered: too many wait",
    "never_seen": "not delivered: no mod has ever called",
    "store_away": "Redis was away: unknown",
    "store_refused": "not delivered: Redis refused it",
}
GOOD_FATES = frozenset({"delivered", "answered"})

NOTHING = html('<span class="none">–</span>')


def level(disabled: bool, problems: Sequence[Problem]) -> Severity:
    """The problems in a word."""
    if disabled:
        return Severity.OFF
    if not problems:
        return Severity.GOOD
    return Severity.BAD if any(problem.serious for problem in problems) else Severity.WARN


def polls(hold_ms: int | None) -> Html | str:
    """How long a poll of its mod may be held: a command reaches it at once then."""
    if hold_ms is None:
        return NOTHING
    return f"held {hold_ms / 1000:.1f} s" if hold_ms else "not held"


def badge(level: Severity) -> Html:
    """A word in its colour: the colour alone says nothing to many people."""
    return html('<span class="badge {kind}">{word}</span>', kind=level.name.lower(), word=BADGES[level])


def link_word(state: str) -> str:
    """The state of a link to Takaro, in words for people; "" is none yet."""
    words: dict[str, str] = {LinkState.READY: "linked", "": "not begun"}
    return words.get(state, state)


def ago(seconds: float | None) -> str:
    """As the diagnosis says it; a mod that calls is heard "just now", whichever second it is."""
    if seconds is None:
        return "never"
    return "just now" if seconds < 15 else f"{span(seconds)} ago"


def count(number: int | None) -> Html:
    """A number with its thousands apart; nothing for none."""
    return NOTHING if not number else html("{n}", n=f"{number:,}".replace(",", "\u202f"))


def moment(at_ms: int) -> Html:
    """In UTC; the script turns it into the reader's own time, without the date if that is today."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return html(
        '<time datetime="{iso}">{text}</time>',
        iso=at.isoformat(timespec="milliseconds"),
        text=f"{at:%Y-%m-%d %H:%M:%S} UTC",
    )


def took(ms: int) -> str:
    return f"{ms} ms" if ms < 1_000 else f"{ms / 1000:.1f} s" if ms < 120_000 else span(ms / 1000)


def said(event: ActivityEntry) -> Html:
    """What an event says. Every word of it may be a player's."""
    data = event.data
    who = _name(data.get("player"))
    match event.what:
        case "chat-message":
            return html(
                '<span class="dim">{channel}</span> {who}: {msg}',
                channel=data.get("channel"),
                who=who or "?",
                msg=data.get("msg"),
            )
        case "player-death":
            by = _name(data.get("attacker"))
            return html(
                "{who}{by} <span class=dim>{msg}</span>",
                who=who,
                by=html(" by {by}", by=by) if by else None,
                msg=data.get("msg"),
            )
        case "entity-killed":
            return html(
                "{who} killed {what} <span class=dim>{by}</span>",
                who=who,
                what=data.get("entity"),
                by=data.get("weapon"),
            )
        case "refused":
            return html("one of {n} events: {why}", n=data.get("candidates"), why=event.detail)
    parts = [who, data.get("msg")]
    return html("{parts}", parts=[html("{part} ", part=part) for part in parts if part])


def arguments(args: Mapping[str, Any]) -> Html:
    """What a command was to do."""
    return html(
        "{all}",
        all=[
            html('<span class="dim">{name}</span> <bdi>{value}</bdi> ', name=name, value=value)
            for name, value in args.items()
        ],
    )


def _name(player: Any) -> Html | None:
    """A name stands by itself: one that runs from right to left must not take its neighbours along."""
    if not isinstance(player, Mapping):
        return None
    return html("<bdi>{name}</bdi>", name=player.get("name") or player.get("gameId") or "?")
