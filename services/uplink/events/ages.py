"""How old may an event be when Takaro gets it? One table. Pure.

Takaro takes the time of receipt for the time of the event, and runs a chat line as a command when it arrives
(protocol.md T8). The age counts from acceptance, as well as it is known (store/clock_steps.py).
"""

from services.relay.protocol.records import GameEvent
from services.relay.protocol.vocabulary import EventType
from services.relay.store.clock_steps import AgeRange

CHAT_S = 15.0
"""A take-over (7 s) and a restart of Redis must not cost a chat line, but who typed a `/command` has given it
up after this long: it must not fire any more."""

LOG_S = 10 * 60.0
"""Takaro stores no log line, it only sets off hooks (protocol.md T5): old news would be flood."""

HISTORY_S = 7 * 86_400.0
"""Who came and went, who died, what was killed: to be delivered after a long weekend without Takaro."""

MAX_AGE_S: dict[EventType, float] = {
    EventType.CHAT_MESSAGE: CHAT_S,
    EventType.LOG: LOG_S,
    EventType.PLAYER_CONNECTED: HISTORY_S,
    EventType.PLAYER_DISCONNECTED: HISTORY_S,
    EventType.PLAYER_DEATH: HISTORY_S,
    EventType.ENTITY_KILLED: HISTORY_S,
}

_MAX_AGE_S = {event_type.value: age_s for event_type, age_s in MAX_AGE_S.items()}
_YOUNG_S = min(MAX_AGE_S.values())


def young_for_s(age: AgeRange) -> float:
    """How long from now nothing of that age is too old; negative: something may be."""
    return _YOUNG_S - age.most_s


def is_too_old(event: GameEvent, age: AgeRange) -> bool:
    """Is an event of that age not to be delivered any more?

    Where the age is not known, history counts as young, for it is better late than lost. Chat and log lines
    count as old.
    """
    max_age_s = _MAX_AGE_S[event["type"]]
    return (age.least_s if max_age_s >= HISTORY_S else age.most_s) > max_age_s
