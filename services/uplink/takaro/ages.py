"""How old may an event be when Takaro gets it? One table, and the clock by which age is told. Pure.

Takaro takes the time of receipt for the time of the event, and runs a chat line as a command when it arrives
(contract.md B2). The age counts from acceptance, by Redis' clock, which the ids of entries carry. The clocks
of two hosts differ, so Redis is asked for its time now and then (`StoreClock`).
"""

from dataclasses import dataclass

from services.relay.records import GameEvent
from services.relay.vocabulary import EventType

CHAT_S = 15.0
"""A take-over (7 s) and a restart of Redis must not cost a chat line, but who typed a `/command` has given it
up after this long: it must not fire any more."""

LOG_S = 10 * 60.0
"""Takaro stores no log line, it only sets off hooks (research/peers.md 2.3): old news would be flood."""

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


@dataclass(frozen=True, slots=True)
class StoreClock:
    """Redis' clock said `store_s` when a clock of ours, which never jumps, said `read_s`."""

    store_s: float
    read_s: float

    def at_s(self, now_s: float) -> float:
        """What Redis' clock says when ours says `now_s`."""
        return self.store_s + now_s - self.read_s


def sort_out(events: list[GameEvent], age_s: float) -> tuple[list[GameEvent], list[GameEvent]]:
    """Of events of that age: those that are still to be delivered, and those that are too old."""
    if age_s <= _YOUNG_S:
        return events, []
    fresh = [event for event in events if age_s <= _MAX_AGE_S[event["type"]]]
    return fresh, [event for event in events if age_s > _MAX_AGE_S[event["type"]]]
