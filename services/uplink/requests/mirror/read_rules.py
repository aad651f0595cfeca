"""The table of all reads: how long an answer is fresh, how long a stale one may be given, and what then."""

import math
from dataclasses import dataclass
from enum import Enum, auto, unique
from typing import NamedTuple

from services.relay.protocol.vocabulary import Action


class Subject(NamedTuple):
    """What a read is about: one player or, with an empty `game_id`, the game."""

    action: Action
    game_id: str = ""


@dataclass(frozen=True, slots=True)
class ReadRule:
    """How one read is answered. If the answer is too old or unknown, the request waits for the mod; if that
    takes too long, Takaro gets an error."""

    fresh_s: float  # an answer up to this old is given at once
    known_s: float  # one up to this old is given at once, and one refresh is queued
    rank: int  # of the reads of the same need, those with the lowest go first (read_queue.py)


_HOUR_S = 3600.0
_DAY_S = 24 * _HOUR_S

READ_RULES: dict[Action, ReadRule] = {
    # Takaro asks every server these each 30 s. Events also tell who is online.
    Action.GET_PLAYERS: ReadRule(fresh_s=20, known_s=300, rank=0),
    Action.GET_PLAYER: ReadRule(fresh_s=60, known_s=math.inf, rank=1),
    Action.GET_PLAYER_LOCATION: ReadRule(fresh_s=25, known_s=math.inf, rank=1),
    Action.GET_PLAYER_INVENTORY: ReadRule(fresh_s=90, known_s=_HOUR_S, rank=2),
    # Takaro asks these each hour. It would put old bans into force again, so these are soon unknown.
    Action.LIST_BANS: ReadRule(fresh_s=30, known_s=120, rank=1),
    # These change only when the game server starts, with the game mods that it loads.
    Action.LIST_ITEMS: ReadRule(fresh_s=6 * _HOUR_S, known_s=7 * _DAY_S, rank=3),
    Action.LIST_ENTITIES: ReadRule(fresh_s=6 * _HOUR_S, known_s=7 * _DAY_S, rank=3),
    Action.LIST_LOCATIONS: ReadRule(fresh_s=6 * _HOUR_S, known_s=7 * _DAY_S, rank=3),
}

OF_EACH_PLAYER = (Action.GET_PLAYER_LOCATION, Action.GET_PLAYER_INVENTORY)
"""Takaro asks these of all players in a burst: no more of them wait than the mod can answer in time."""

CATALOGUES = frozenset({Action.LIST_ITEMS, Action.LIST_ENTITIES, Action.LIST_LOCATIONS, Action.LIST_BANS})
"""These are up to several MB each and are asked once an hour: they are kept in Redis, not in this process."""

MADE_UP_POSITION = {"x": 0, "y": 0, "z": 0}
"""The position of a player whose position is unknown while an event waits for it. Takaro loses an event if
the answer to this one read is an error (protocol.md T9). No other answer is ever made up."""

EVENT_WAITS_S = 300.0
"""How long after an event Takaro may still ask for its player's position. It asks within a second, but after
an outage it takes minutes to handle all waiting events."""


@unique
class AnswerAge(Enum):
    """The age of what is known, by the rule of its action."""

    FRESH = auto()
    STALE = auto()
    UNKNOWN = auto()


class Reading(NamedTuple):
    """An answer and its age. `payload` is None if it is unknown, and for a catalogue: that is in Redis."""

    age: AnswerAge
    payload: bytes | None = None


NOTHING = Reading(AnswerAge.UNKNOWN)
