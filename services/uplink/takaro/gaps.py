"""Which events of a window may go to Takaro at once, and which a little later? Pure.

Takaro's workers run ten at a time without order, and identical events that it receives in one millisecond
become one (contract.md B2). So an event waits until PLAYER_GAP_S after the last one of its player, and a twin
until TWIN_GAP_S after its twin. Two kills of one player need no order, but may be twins; lines without a
player keep their order among themselves.

The trade: who need not wait is not held up, so within a window (32 events) the events of other players
overtake one that waits. To stop there instead would keep the order across players, which Takaro does not
keep, and would hold everybody up: of 10 events of 50 players in a batch, 20 % would wait and not 6 %; of 32,
67 % and not 19 %. Nothing overtakes beyond its window, the ping goes behind the last of it, and the stream is
taken off by whole windows: a fault repeats no more than without gaps. Only a flood of one player holds others
up: 32 events of one (kills apart) keep their window open for 1.6 s.
"""

from collections import defaultdict
from collections.abc import Sequence

from services.relay.records import GameEvent
from services.relay.vocabulary import EventType

PLAYER_GAP_S = 0.05
TWIN_GAP_S = 0.003
"""Takaro needs 2 ms; the rest is for timers of 1 ms, and for a network that moves packets closer together."""

_KILL = EventType.ENTITY_KILLED.value

Burst = tuple[float, list[GameEvent]]
"""Events to be written in one go, and when: a time for `Gaps.wait_s` and `Gaps.written`."""


class Gaps:
    """The times of what was last sent on one socket. Times are seconds by a clock that never jumps.

    Plans are made on a time that lags behind the clock by `_late_s`: by as much as any burst was ever written
    later than planned. It only grows, so gaps can only get longer by it.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, bool]] = {}  # by player or line: due when, and was it loose?
        self._newest_s = self._line_s = float("-inf")
        self._late_s = 0.0

    def spread(self, events: Sequence[GameEvent], now_s: float) -> list[Burst]:
        """When to write which of `events`: a burst for now, which may be empty, and those that have to wait.

        Every event comes behind those of its player. Call it when the last plan was written.
        """
        now_s -= self._late_s
        self._forget(now_s - PLAYER_GAP_S)
        last, line_s = self._last, max(now_s, self._line_s)
        at_once: list[GameEvent] = []
        later: list[tuple[float, GameEvent]] = []
        for event in events:
            data = event["data"]
            if player := data.get("player"):
                key, loose, due_s = player["gameId"], event["type"] == _KILL, now_s
            else:
                key, loose, due_s = data.get("msg", ""), True, line_s
            if key in last:
                last_s, was_loose = last[key]
                due_s = max(due_s, last_s + (TWIN_GAP_S if loose and was_loose else PLAYER_GAP_S))
                if not player:
                    line_s = due_s
            last[key] = due_s, loose
            if due_s > now_s:
                later.append((due_s, event))
            else:
                at_once.append(event)
        self._line_s = line_s
        self._newest_s = max(now_s, *(due_s for due_s, _ in later)) if later else now_s
        return _bursts(now_s, at_once, later) if later else [(now_s, at_once)]

    def _forget(self, before_s: float) -> None:
        """Forgets what nothing has to wait for any more."""
        if self._newest_s <= before_s:
            self._last.clear()
        else:
            self._last = {key: last for key, last in self._last.items() if last[0] > before_s}

    def wait_s(self, due_s: float, now_s: float) -> float:
        """How long to wait before the burst that is due at `due_s` may be written; not positive: write."""
        return due_s + self._late_s - now_s

    def written(self, due_s: float, now_s: float) -> None:
        """The burst was written: what comes behind it keeps its distance from now."""
        self._late_s = max(self._late_s, now_s - due_s)


def _bursts(now_s: float, at_once: list[GameEvent], later: list[tuple[float, GameEvent]]) -> list[Burst]:
    bursts = defaultdict(list, {now_s: at_once})
    for due_s, event in later:
        bursts[due_s].append(event)
    return sorted(bursts.items())
