"""When is an instance worth a message, and when is it well again? Pure: times are arguments.

Each condition begins and ends by rules that lie apart: what wavers on the edge is told once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum, unique

from services.relay.protocol.link_states import LinkState

AGAIN_AFTER_S = 900.0
"""What nobody could be told is tried no sooner again: an address that is wrong stays wrong for long."""


@unique
class Condition(StrEnum):
    """What can be wrong with an instance. The value is what webhooks are told."""

    SILENT = "silent"
    REFUSED = "refused"
    BACKLOG = "backlog"


@dataclass(frozen=True, slots=True)
class Sighting:
    """An instance as its owner sees it now.

    `silent_s`: how long nothing was heard of the mod, as far as this process can judge (mod_contact.py);
    None: never heard of. `unheard_s`: how long it is truly, however young this process is.
    `fullness` is the part of the room for waiting events that is taken, `oldest_s` how long the oldest waits.
    """

    name: str
    silent_s: float | None
    unheard_s: float
    link: str
    events: int
    fullness: float
    oldest_s: float


@dataclass(frozen=True, slots=True)
class Transition:
    """A condition has begun, or ended. Times are wall clock; `since_s` is when it began."""

    slug: str
    condition: Condition
    began: bool
    since_s: float
    at_s: float
    seen: Sighting


@dataclass(frozen=True, slots=True)
class Rule:
    """`begins` has to hold for so long before it is told, and `ends` likewise."""

    begins: Callable[[Sighting, float], bool]
    begins_for_s: float
    ends: Callable[[Sighting], bool]
    ends_for_s: float


RULES: dict[Condition, Rule] = {
    # After an outage of Redis the last contact is that of before, until mods have called: that is no silence.
    # A process that has just started knows of no longer silence than its own age: it sees "well" for 20 s,
    # whatever is true. So this has to hold for longer than that before a silence has ended.
    Condition.SILENT: Rule(
        begins=lambda seen, silent_after_s: (seen.silent_s or 0.0) > silent_after_s,
        begins_for_s=15.0,
        ends=lambda seen: seen.silent_s is not None and seen.silent_s < 20,
        ends_for_s=30.0,
    ),
    # Asked again now and then, a link that is refused goes through other states and back.
    Condition.REFUSED: Rule(
        begins=lambda seen, _: seen.link == LinkState.REFUSED,
        begins_for_s=0.0,
        ends=lambda seen: seen.link == LinkState.READY,
        ends_for_s=10.0,
    ),
    Condition.BACKLOG: Rule(
        begins=lambda seen, _: seen.oldest_s > 300 or seen.fullness > 0.5,
        begins_for_s=30.0,
        ends=lambda seen: seen.oldest_s < 60 and seen.fullness < 0.25,
        ends_for_s=30.0,
    ),
}


class Watch:
    """What people were told of one instance: `told` has since when it is so, by the wall clock.

    What is being told is left alone until `settle` says whether anybody heard it.
    """

    def __init__(self, told: Mapping[Condition, float], silent_after_s: float) -> None:
        self.told = dict(told)
        self._silent_after_s = silent_after_s
        self._changing: dict[Condition, float] = {}  # since when the other rule holds
        self._being_told: set[Condition] = set()
        self._not_before_s: dict[Condition, float] = {}

    def look(self, slug: str, seen: Sighting, now_s: float, wall_s: float) -> list[Transition]:
        """What is to be told with this sighting. `now_s` is a clock that is never set."""
        found = []
        for condition, rule in RULES.items():
            if condition in self._being_told:
                continue
            since_s = self.told.get(condition)
            if since_s is None:
                holds, for_s = rule.begins(seen, self._silent_after_s), rule.begins_for_s
            else:
                holds, for_s = rule.ends(seen), rule.ends_for_s
            if not holds:
                self._changing.pop(condition, None)
            elif now_s >= max(
                self._changing.setdefault(condition, now_s) + for_s,
                self._not_before_s.get(condition, now_s),
            ):
                self._being_told.add(condition)
                began = since_s is None
                if since_s is None:
                    since_s = wall_s - _lasted_s(condition, seen)
                found.append(Transition(slug, condition, began, since_s, wall_s, seen))
        return found

    def settle(self, told: Transition, heard: bool, now_s: float) -> None:
        """It was heard, or by nobody: then it comes again after a while, if it is still so."""
        self._being_told.discard(told.condition)
        self._changing.pop(told.condition, None)
        if not heard:
            self._not_before_s[told.condition] = now_s + AGAIN_AFTER_S
        elif told.began:
            self.told[told.condition] = told.since_s
        else:
            self.told.pop(told.condition, None)


def _lasted_s(condition: Condition, seen: Sighting) -> float:
    """For how long it has been so already when it is noticed."""
    match condition:
        case Condition.SILENT:
            return seen.unheard_s
        case Condition.BACKLOG:
            return seen.oldest_s
        case Condition.REFUSED:
            return 0.0
