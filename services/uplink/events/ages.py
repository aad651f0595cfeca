"""The greatest age of an event when Takaro receives it, for each type. Pure. gaps.py sorts out what is older,
consumer.py drops and counts it.

Takaro takes the time of receipt for the time of the event, and runs a chat line as a command when it arrives
(protocol.md T8). An age counts from acceptance, as precisely as it is known (relay/store/clock.py).
"""

from services.relay.protocol.records import GameEvent
from services.relay.protocol.vocabulary import EventType
from services.relay.store.clock import AgeRange

CHAT_S = 15.0
"""A chat line must outlast a take-over (7 s) and a restart of Redis. But a player who typed a `/command` has
given up on it after this time, so it must not run any more."""

LOG_S = 10 * 60.0  # Takaro stores no log line, it only triggers hooks: old ones would be a flood without use

HISTORY_S = 7 * 86_400.0  # connections, deaths and kills are delivered even after a week without Takaro

MAX_AGE_S: dict[str, float] = {
    EventType.CHAT_MESSAGE: CHAT_S,
    EventType.LOG: LOG_S,
    EventType.PLAYER_CONNECTED: HISTORY_S,
    EventType.PLAYER_DISCONNECTED: HISTORY_S,
    EventType.PLAYER_DEATH: HISTORY_S,
    EventType.ENTITY_KILLED: HISTORY_S,
}

_UNKNOWN_S = HISTORY_S
"""A newer modapi beside this uplink may store types that this one does not know. Late is better than lost."""

YOUNG_S = min(MAX_AGE_S.values())  # no event of this age or younger is too old, whatever its type


def is_too_old(event: GameEvent, age: AgeRange) -> bool:
    """Whether it must not be delivered any more. Of unknown age, only chat and log lines are too old."""
    max_age_s = MAX_AGE_S.get(event["type"], _UNKNOWN_S)
    return (age.least_s if max_age_s >= HISTORY_S else age.most_s) > max_age_s
