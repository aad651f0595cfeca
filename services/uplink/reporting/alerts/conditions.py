"""Decides when an alert about an instance begins and ends. Pure: times are arguments.

Each condition ends at another threshold than it begins, so a value that wavers at one of them sends one
message.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique

from services.relay.protocol.link_states import LinkState

AGAIN_AFTER_S = 900.0  # an alert that no target took is tried again: a wrong address stays wrong for long


@unique
class Condition(StrEnum):
    """What can be wrong with an instance. Webhooks get the value."""

    SILENT = "silent"
    REFUSED = "refused"
    BACKLOG = "backlog"


@dataclass(frozen=True, slots=True)
class Sighting:
    """The state of an instance, as its owner knows it."""

    name: str
    silent_s: float | None  # since the mod's last call, as this process knows (mod_contact.py); None: never
    unheard_s: float  # the true time since then, also if this process is younger
    link: str
    events: int  # that wait
    fullness: float  # share of the room for waiting events that is in use
    oldest_s: float  # how long the oldest event waits


@dataclass(frozen=True, slots=True)
class Transition:
    """A condition has begun or ended, at `at_s`. `since_s` is when it began. Both are on the wall clock."""

    slug: str
    condition: Condition
    began: bool
    since_s: float
    at_s: float
    seen: Sighting


@dataclass(frozen=True, slots=True)
class Rule:
    """`begins` must hold for `begins_for_s` before an alert begins, `ends` for `ends_for_s` before it ends.
    `lasted_s` is how long the condition has lasted by then."""

    begins: Callable[[Sighting, float], bool]
    begins_for_s: float
    ends: Callable[[Sighting], bool]
    ends_for_s: float
    lasted_s: Callable[[Sighting], float]


RULES: dict[Condition, Rule] = {
    # `begins_for_s`: after an outage of Redis the stored last contact is old until mods have called.
    # `ends_for_s`: a new process sees no silence for its first 20 s.
    Condition.SILENT: Rule(
        begins=lambda seen, silent_after_s: (seen.silent_s or 0.0) > silent_after_s,
        begins_for_s=15.0,
        ends=lambda seen: seen.silent_s is not None and seen.silent_s < 20,
        ends_for_s=30.0,
        lasted_s=lambda seen: seen.unheard_s,
    ),
    # A refused link is tried again now and then: it goes through other states and back.
    Condition.REFUSED: Rule(
        begins=lambda seen, _: seen.link == LinkState.REFUSED,
        begins_for_s=0.0,
        ends=lambda seen: seen.link == LinkState.READY,
        ends_for_s=10.0,
        lasted_s=lambda seen: 0.0,
    ),
    Condition.BACKLOG: Rule(
        begins=lambda seen, _: seen.oldest_s > 300 or seen.fullness > 0.5,
        begins_for_s=30.0,
        ends=lambda seen: seen.oldest_s < 60 and seen.fullness < 0.25,
        ends_for_s=30.0,
        lasted_s=lambda seen: seen.oldest_s,
    ),
}


@dataclass
class Watch:
    """The alerts of one instance. `reported`: those that have arrived, and since when (s, wall clock). What
    is in `sending` does not change again until `settle` says whether it has arrived."""

    reported: dict[Condition, float]
    silent_after_s: float
    again_after_s: float = AGAIN_AFTER_S
    rules: Mapping[Condition, Rule] = field(default_factory=lambda: RULES)
    sending: set[Condition] = field(default_factory=set)
    _changing: dict[Condition, float] = field(default_factory=dict)  # since when the rule for a change holds
    _not_before_s: dict[Condition, float] = field(default_factory=dict)

    def transitions(self, slug: str, seen: Sighting, now_s: float, wall_s: float) -> list[Transition]:
        """The transitions to send after this sighting. `now_s` is on a clock that is never set."""
        found = []
        for condition, rule in self.rules.items():
            if condition in self.sending:
                continue
            since_s = self.reported.get(condition)
            began = since_s is None
            holds = rule.begins(seen, self.silent_after_s) if began else rule.ends(seen)
            if not holds:
                self._changing.pop(condition, None)
                continue
            due_s = self._changing.setdefault(condition, now_s) + (
                rule.begins_for_s if began else rule.ends_for_s
            )
            if now_s >= max(due_s, self._not_before_s.get(condition, now_s)):
                self.sending.add(condition)
                began_s = wall_s - rule.lasted_s(seen) if since_s is None else since_s
                found.append(Transition(slug, condition, began, began_s, wall_s, seen))
        return found

    def settle(self, sent: Transition, arrived: bool, now_s: float) -> None:
        """Ends the sending of a transition. If it has not arrived anywhere, it is sent again after
        `again_after_s` if the condition still holds."""
        self.sending.discard(sent.condition)
        self._changing.pop(sent.condition, None)
        if not arrived:
            self._not_before_s[sent.condition] = now_s + self.again_after_s
        elif sent.began:
            self.reported[sent.condition] = sent.since_s
        else:
            self.reported.pop(sent.condition, None)
