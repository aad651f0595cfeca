"""Decides which events may be sent to Takaro now, which a little later, and which are too old. Pure.

Takaro's workers run ten at a time without order, and identical events that it receives in one millisecond
become one (protocol.md T8). So an event waits until PLAYER_GAP_S after the last event of its player, and
an equal event until EQUAL_GAP_S after the one before. Kills of one player need no order, but may be equal.
Lines without a player keep their order among themselves.

Events of other players do not wait: they overtake an event that has to. Only a flood that fills LOOKAHEAD
holds up what lies behind it in the stream.
"""

from collections import deque
from heapq import heappop, heappush
from typing import NamedTuple

from services.relay.protocol.vocabulary import EventType
from services.uplink.events import ages
from services.uplink.events.progress import StreamEvent
from services.uplink.events.receipts import NEVER, NOW, WRITE_EVENTS

PLAYER_GAP_S = 0.05
EQUAL_GAP_S = 0.003  # Takaro needs 2 ms; the rest is for timers of 1 ms, and packets that move together

LOOKAHEAD = 1_024  # maximum number of events that wait for their gaps: it bounds the delay of each, to 51 s

_KILL = EventType.ENTITY_KILLED.value
_LINES = ""  # the lane of all lines without a player


class _Write:
    """When the events of one write were written."""

    __slots__ = ("at_s",)
    at_s: float


class _Waiting(NamedTuple):
    """An event that waits for its gap."""

    event: StreamEvent
    text: str  # lines without a player are equal if this is
    loose: bool
    gap_s: float  # how long it waits for the gap: this time does not make it older
    due_s: float  # when it may be written, if those before it in its lane are on time


class GapQueue:
    """The events that were read and not written yet, on one socket. Times are seconds on a clock that is
    never set.

    Lanes: the events of one player, or the lines without a player. Within a lane, order is kept. `loose`
    events of a lane need no order, and wait only as long as an equal event has to.
    """

    def __init__(self) -> None:
        self.unseen: deque[StreamEvent] = deque()  # events that were read and are in no lane yet, in order
        self.waiting = 0  # number of events that wait for their gaps; from LOOKAHEAD on no more enter a lane
        self._lanes: dict[str, deque[_Waiting]] = {}  # those in which an event waits
        self._due: list[tuple[float, str]] = []  # a heap: when each such lane is due
        self._last: dict[tuple[str, str], tuple[_Write, bool]] = {}  # by lane, and text of a line
        self._forgotten_s = NOW
        self._write = _Write()
        self._write.at_s = NOW

    def due_s(self, capacity: int) -> float:
        """When `take` finds an event, if up to `capacity` may be written; NEVER: there is none.

        If there are many unseen events, it waits until a whole window of them may be written.
        """
        if capacity <= 0:
            return NEVER
        if self.unseen and self.waiting < LOOKAHEAD and capacity >= min(WRITE_EVENTS, len(self.unseen)):
            return NOW
        return self._due[0][0] if self._due else NEVER

    def take(self, now_s: float, capacity: int) -> tuple[list[StreamEvent], list[StreamEvent]]:
        """Up to WRITE_EVENTS events to write now, at most `capacity`, and events that are too old.
        Call `written` after the write.

        While an event waits for its gap, it does not grow older. Any other delay counts.
        """
        most = min(WRITE_EVENTS, capacity)
        if now_s - self._write.at_s > PLAYER_GAP_S:
            self._last.clear()  # the gaps of all that was written are over
        elif now_s - self._forgotten_s > PLAYER_GAP_S:
            self._forget(now_s)
        self._write = _Write()
        self._write.at_s = now_s
        events: list[StreamEvent] = []
        expired: list[StreamEvent] = []
        while self._due and self._due[0][0] <= now_s and len(events) < most:
            self._take_lane(now_s, most, events, expired)
        unseen = self.unseen if capacity - len(events) >= min(WRITE_EVENTS, len(self.unseen)) else ()
        while unseen and len(events) < most and self.waiting < LOOKAHEAD:
            event = self.unseen.popleft()
            if now_s > event.entry.young_until_s and _is_too_old(event, now_s):
                expired.append(event)
                continue
            data = event.event["data"]
            player = data.get("player")
            lane, text = (player["gameId"], "") if player else (_LINES, data.get("msg", ""))
            loose = not lane or event.event["type"] == _KILL
            if lane in self._lanes or (lane, text) in self._last:
                due_s = self._earliest_s(lane, text, loose)
                if lane in self._lanes or due_s > now_s:
                    self._wait(lane, _Waiting(event, text, loose, 0.0, max(now_s, due_s)), now_s)
                    continue
            self._last[lane, text] = self._write, loose
            events.append(event)
        return events, expired

    def written(self, now_s: float) -> None:
        """The events of the last `take` are written: what follows keeps its distance from now."""
        self._write.at_s = now_s

    def _earliest_s(self, lane: str, text: str, loose: bool) -> float:
        """When an event of that lane may go, as far as the written events are concerned."""
        if (last := self._last.get((lane, text))) is None:
            return NOW
        write, was_loose = last
        return write.at_s + (EQUAL_GAP_S if loose and was_loose else PLAYER_GAP_S)

    def _wait(self, lane: str, one: _Waiting, now_s: float) -> None:
        self.waiting += 1
        due_s = one.due_s
        if waiting := self._lanes.get(lane):
            before = waiting[-1]
            due_s = max(due_s, before.due_s + (EQUAL_GAP_S if one.loose and before.loose else PLAYER_GAP_S))
        else:
            waiting = self._lanes[lane] = deque()
            heappush(self._due, (due_s, lane))
        waiting.append(one._replace(gap_s=due_s - now_s, due_s=due_s))

    def _take_lane(
        self, now_s: float, most: int, events: list[StreamEvent], expired: list[StreamEvent]
    ) -> None:
        """Takes the events of the lane that is due first, as far as their gaps are over."""
        _, lane = heappop(self._due)
        waiting = self._lanes[lane]
        while waiting:
            event, text, loose, gap_s, due_s = waiting[0]
            earliest_s = self._earliest_s(lane, text, loose)
            if earliest_s > now_s or len(events) >= most:
                heappush(self._due, (earliest_s, lane))
                return
            waiting.popleft()
            self.waiting -= 1
            if _is_too_old(event, max(now_s, due_s) - gap_s):
                expired.append(event)
            else:
                self._last[lane, text] = self._write, loose
                events.append(event)
        del self._lanes[lane]

    def _forget(self, now_s: float) -> None:
        """Forgets the written events whose gaps are over."""
        self._forgotten_s = now_s
        before_s = now_s - PLAYER_GAP_S
        self._last = {key: last for key, last in self._last.items() if last[0].at_s > before_s}


def _is_too_old(event: StreamEvent, now_s: float) -> bool:
    entry = event.entry
    return now_s > entry.young_until_s and ages.is_too_old(event.event, entry.age_at(now_s))
