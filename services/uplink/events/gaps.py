"""Which events may go to Takaro now, and which a little later? Pure.

Takaro's workers run ten at a time without order, and identical events that it receives in one millisecond
become one (protocol.md T8). So an event waits until PLAYER_GAP_S after the last one of its player, and a twin
until TWIN_GAP_S after its twin. Two kills of one player need no order, but may be twins; lines without a
player keep their order among themselves.

Nobody else waits: events of other players overtake one that has to. Only a flood that fills LOOKAHEAD holds
up what lies behind it in the stream.
"""

from collections import deque
from heapq import heappop, heappush
from typing import NamedTuple

from services.relay.protocol.vocabulary import EventType
from services.uplink.events import ages
from services.uplink.events.progress import StreamEvent
from services.uplink.events.receipts import WINDOW_EVENTS

PLAYER_GAP_S = 0.05
TWIN_GAP_S = 0.003
"""Takaro needs 2 ms; the rest is for timers of 1 ms, and for a network that moves packets closer together."""

LOOKAHEAD = 1_024
"""So many events at most wait for their gaps. It is also what bounds how late one of them can be: by 51 s."""

_KILL = EventType.ENTITY_KILLED.value
_LINES = ""
"""The lane of all lines without a player."""


class _Write:
    """Events that were written together, and when."""

    __slots__ = ("at_s",)

    def __init__(self, at_s: float) -> None:
        self.at_s = at_s


class _Waiting(NamedTuple):
    """An event behind others of its lane. It could have gone `gap_s` before `due_s` but for its gap, which
    lasts until `due_s` if those before it are on time."""

    event: StreamEvent
    loose: bool
    gap_s: float
    due_s: float


class Turns:
    """What was read of the stream and not written yet, on one socket. Times are seconds by a clock that is
    never set.

    Lanes: the events of one player, or the lines without one. Within a lane, order is kept.
    """

    def __init__(self) -> None:
        self.unseen: deque[StreamEvent] = deque()
        """What was read and not looked at yet, in order."""
        self.waiting = 0
        """Events that wait for their gaps."""
        self._lanes: dict[str, deque[_Waiting]] = {}  # where somebody waits
        self._due: list[tuple[float, str]] = []  # a heap: when each such lane is to be looked at
        self._last: dict[tuple[str, str], tuple[_Write, bool]] = {}  # by lane, and text of a line
        self._forgotten_s = float("-inf")
        self._write = _Write(float("-inf"))

    @property
    def full(self) -> bool:
        """Nothing more is looked at before some of those that wait have gone."""
        return self.waiting >= LOOKAHEAD

    def due_s(self, room: int) -> float:
        """When `take` finds something with this `room`; infinite: there is nothing."""
        if room > 0 and self._may_look(room):
            return float("-inf")
        return self._due[0][0] if self._due and room > 0 else float("inf")

    def _may_look(self, room: int) -> bool:
        """Not for a few events at a time when there are many."""
        return bool(self.unseen) and not self.full and room >= min(WINDOW_EVENTS, len(self.unseen))

    def take(self, now_s: float, room: int) -> tuple[list[StreamEvent], list[StreamEvent]]:
        """Up to WINDOW_EVENTS events to be written now, `room` at most, and those that turned out too old.
        Call `written` behind it.

        What waits for its gap does not grow older by it, but by everything else that comes between.
        """
        most = min(WINDOW_EVENTS, room)
        self._forget(now_s)
        self._write = _Write(now_s)
        events: list[StreamEvent] = []
        expired: list[StreamEvent] = []
        while self._due and self._due[0][0] <= now_s and len(events) < most:
            self._go_on(heappop(self._due)[1], now_s, most, events, expired)
        unseen = self.unseen if self._may_look(room - len(events)) else ()
        while unseen and len(events) < most and not self.full:
            event = self.unseen.popleft()
            if _is_too_old(event, now_s):
                expired.append(event)
                continue
            lane, text = _lane(event)
            loose = not lane or event.event["type"] == _KILL
            if lane in self._lanes or (lane, text) in self._last:
                due_s = self._free_s(lane, text, loose)
                if lane in self._lanes or due_s > now_s:
                    self._wait(lane, event, loose, now_s, max(now_s, due_s))
                    continue
            self._last[lane, text] = self._write, loose
            events.append(event)
        return events, expired

    def written(self, now_s: float) -> None:
        """What was taken is written: what comes behind it keeps its distance from now."""
        self._write.at_s = now_s

    def _free_s(self, lane: str, text: str, loose: bool) -> float:
        """When an event of that lane may go as far as those are concerned that were written."""
        if (last := self._last.get((lane, text))) is None:
            return float("-inf")
        write, was_loose = last
        return write.at_s + (TWIN_GAP_S if loose and was_loose else PLAYER_GAP_S)

    def _wait(self, lane: str, event: StreamEvent, loose: bool, now_s: float, due_s: float) -> None:
        self.waiting += 1
        if waiting := self._lanes.get(lane):
            before = waiting[-1]
            due_s = max(due_s, before.due_s + (TWIN_GAP_S if loose and before.loose else PLAYER_GAP_S))
            waiting.append(_Waiting(event, loose, due_s - now_s, due_s))
        else:
            self._lanes[lane] = deque([_Waiting(event, loose, due_s - now_s, due_s)])
            heappush(self._due, (due_s, lane))

    def _go_on(
        self, lane: str, now_s: float, most: int, events: list[StreamEvent], expired: list[StreamEvent]
    ) -> None:
        """Takes those of a lane whose time has come."""
        waiting = self._lanes[lane]
        while waiting:
            event, loose, gap_s, due_s = waiting[0]
            _, text = _lane(event)
            free_s = self._free_s(lane, text, loose)
            if free_s > now_s or len(events) >= most:
                heappush(self._due, (free_s, lane))
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
        """Now and then: what nothing has to wait for any more."""
        if self._last and now_s - self._forgotten_s > PLAYER_GAP_S:
            self._forgotten_s = now_s
            before_s = now_s - PLAYER_GAP_S
            self._last = {key: last for key, last in self._last.items() if last[0].at_s > before_s}


def _is_too_old(event: StreamEvent, now_s: float) -> bool:
    batch = event.batch
    return now_s > batch.young_until_s and ages.is_too_old(event.event, batch.age_at(now_s))


def _lane(event: StreamEvent) -> tuple[str, str]:
    """Whose events keep their order with this one, and the text by which lines without a player are twins."""
    data = event.event["data"]
    if player := data.get("player"):
        return player["gameId"], ""
    return _LINES, data.get("msg", "")
