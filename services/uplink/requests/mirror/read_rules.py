"""One table for all reads: how long an answer is fresh, how long it may be given, and what then."""

import math
from dataclasses import dataclass
from enum import Enum, unique

from services.relay.protocol.vocabulary import Action


@dataclass(frozen=True, slots=True)
class ReadRule:
    """How one read is answered.

    Up to `fresh_s` old: at once, the mod is not asked. Up to `known_s`: at once, and one refresh is queued.
    Older, or never known: the mod is waited for, within Takaro's time; then Takaro gets an error. Among stale
    answers those with the lowest `rank` are refreshed first. Takaro asks reads `of_each_player` in bursts: no
    more of them are waited for than the mod can answer in time.
    """

    fresh_s: float
    known_s: float
    rank: int
    of_each_player: bool = False


_HOUR_S = 3600.0
_DAY_S = 24 * _HOUR_S

READ_RULES: dict[Action, ReadRule] = {
    # Takaro asks these of every server each 30 s. Who is online is also known from each event.
    Action.GET_PLAYERS: ReadRule(fresh_s=20, known_s=300, rank=0),
    Action.GET_PLAYER: ReadRule(fresh_s=60, known_s=math.inf, rank=1),
    Action.GET_PLAYER_LOCATION: ReadRule(fresh_s=25, known_s=math.inf, rank=1, of_each_player=True),
    Action.GET_PLAYER_INVENTORY: ReadRule(fresh_s=90, known_s=_HOUR_S, rank=2, of_each_player=True),
    # Takaro asks these each hour. Old bans would be put into force again, so they are asked for anew.
    Action.LIST_BANS: ReadRule(fresh_s=30, known_s=120, rank=1),
    # These change with the mods that a game server loads, that is, when it starts.
    Action.LIST_ITEMS: ReadRule(fresh_s=6 * _HOUR_S, known_s=7 * _DAY_S, rank=3),
    Action.LIST_ENTITIES: ReadRule(fresh_s=6 * _HOUR_S, known_s=7 * _DAY_S, rank=3),
    Action.LIST_LOCATIONS: ReadRule(fresh_s=6 * _HOUR_S, known_s=7 * _DAY_S, rank=3),
}

CATALOGUES = frozenset({Action.LIST_ITEMS, Action.LIST_ENTITIES, Action.LIST_LOCATIONS, Action.LIST_BANS})
"""Several MB each, asked for each hour: kept in Redis, not in this process."""

MADE_UP_PLACE = {"x": 0, "y": 0, "z": 0}
"""The position of a player of whom none is known, when an event waits for it. Takaro loses an event if the
answer to this one question is an error (protocol.md T9). No other answer is ever made up."""

EVENT_WAITS_S = 300.0
"""How long after an event was sent Takaro may still ask where its player is. It asks within a second, but
after an outage it works off for minutes what was kept."""


@unique
class AnswerAge(Enum):
    """How good what is known is."""

    FRESH = "fresh"
    STALE = "stale"
    UNKNOWN = "unknown"


def age_of(action: Action, at_s: float | None, now_s: float) -> AnswerAge:
    """What an answer from `at_s` (None: there is none) is worth at `now_s`. From the future is fresh."""
    if at_s is None:
        return AnswerAge.UNKNOWN
    rule, old_s = READ_RULES[action], now_s - at_s
    if old_s <= rule.fresh_s:
        return AnswerAge.FRESH
    return AnswerAge.STALE if old_s <= rule.known_s else AnswerAge.UNKNOWN
