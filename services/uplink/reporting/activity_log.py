"""Records ended events and commands of an owned instance, for watchers and the page's charts."""

import math
import secrets
import time
from collections import Counter, deque
from collections.abc import Iterator
from functools import partial
from operator import itemgetter
from typing import NamedTuple

from services.relay.instances.activity import REMEMBERED, ActivityEntry, publish
from services.relay.instances.facts import note_failed
from services.relay.instances.history import KEPT_MINUTES, LinkedTime
from services.relay.protocol.ends import CommandEnd, EventState
from services.relay.protocol.keys import keys_of
from services.relay.protocol.records import Command, Outcome
from services.relay.protocol.vocabulary import ACTION_KINDS, ActionKind
from services.relay.store.client import Store
from services.uplink.events.receipts import EndedEvents
from services.uplink.takaro.frames import kept_json

MINUTES_EXPIRE_S = 2 * 3600

_STEPS = 8  # steps of latency for each power of two: percentiles are exact to 4.5 %


class ActivityLog:
    """Records what has ended. While nobody watches, it only counts and remembers."""

    def __init__(self, store: Store, slug: str) -> None:
        self._store, self._slug = store, slug
        self._minute = _MinuteCounts(store, slug)
        self._linked_time = LinkedTime(store, slug)
        # How far Redis' clock is ahead of time.monotonic(); until `renewed` is called, by this machine's.
        self._ahead_ms = time.time() * 1000 - time.monotonic() * 1000
        self._run = secrets.token_hex(4)
        self._number = 0  # number of the last entry
        self._watched = ""
        self._windows: deque[_Ended] = deque()
        self._window_entries = 0
        self._writes: deque[tuple[int, ActivityEntry]] = deque(maxlen=REMEMBERED)

    def renewed(self, now_ms: int, watched: str, *, linked: bool = False) -> None:
        """Takes over Redis' clock and the name of the watcher ("": none), as the last renewal of the lease
        read them. A new watcher first receives what is remembered. `linked`: the link is ready."""
        self._ahead_ms = now_ms - time.monotonic() * 1000
        self._minute.write_due(now_ms, live=bool(watched))
        self._linked_time.count_until(now_ms, linked=linked)
        if watched and watched != self._watched:
            events = [one for window in self._windows for one in window.numbered()][-REMEMBERED:]
            if remembered := sorted((*events, *self._writes), key=itemgetter(0)):
                publish(self._store, self._slug, self._run, remembered)
        self._watched = watched

    def events_ended(self, events: EndedEvents) -> None:
        """Records events that have ended together."""
        now_ms = int(time.monotonic() * 1000 + self._ahead_ms)
        if events.delivered:
            took_ms = max(1.0, round(events.took_s * 1000))
            self._minute.took[round(_STEPS * math.log2(took_ms))] += len(events.delivered)
        size = len(events.delivered) + len(events.expired) + len(events.refused)
        ended = _Ended(self._number + 1, size, events, now_ms)
        self._number += size
        self._windows.append(ended)
        self._window_entries += size
        while self._window_entries - self._windows[0].size >= REMEMBERED:
            self._window_entries -= self._windows.popleft().size
        if self._watched and size:
            publish(self._store, self._slug, self._run, ended.numbered())

    def command_ended(self, command: Command, result: Outcome, took_s: float) -> None:
        """Records a command. Reads are neither remembered nor counted: they are too many."""
        write = ACTION_KINDS[command.action] is ActionKind.WRITE
        if not (write or self._watched):
            return
        now_ms = int(time.monotonic() * 1000 + self._ahead_ms)
        entry = ActivityEntry(
            "command", now_ms, command.action, command.args, result.end, round(took_s * 1000), result.error
        )
        self._number += 1
        if write:
            self._minute.commands += 1
            self._writes.append((self._number, entry))
        if write and result.end is not CommandEnd.ANSWERED:
            note_failed(self._store, self._slug, command.operation_id, now_ms)
        if self._watched:
            publish(self._store, self._slug, self._run, [(self._number, entry)])

    def close(self) -> None:
        """Writes the counts of the current minute to Redis: another uplink becomes the owner."""
        self._minute.write()
        self._linked_time.write()


class _Ended(NamedTuple):
    """Events that ended together, numbered from `first` on. Their entries are made when they are shown."""

    first: int
    size: int
    events: EndedEvents
    now_ms: int

    def numbered(self) -> Iterator[tuple[int, ActivityEntry]]:
        made, events = partial(ActivityEntry, "event", self.now_ms), self.events
        took_ms = round(events.took_s * 1000)
        entries = (
            *(made(one["type"], one["data"], EventState.DELIVERED, took_ms) for one in events.delivered),
            *(made(one["type"], one["data"], EventState.EXPIRED, 0) for one in events.expired),
            *(
                made("refused", {"candidates": len(candidates)}, EventState.REFUSED, 0, reason)
                for reason, candidates in events.refused
            ),
        )
        return enumerate(entries, self.first)


class _MinuteCounts:
    """The counts of the current minute, which becomes a row in Redis."""

    def __init__(self, store: Store, slug: str) -> None:
        self.took: Counter[int] = Counter()  # delivered events by step of latency
        self.commands = 0  # writes that have ended
        self._store = store
        self._key = keys_of(slug).minutes
        self._minute = 0
        self._written = b""  # the row of this minute as Redis has it

    def write_due(self, now_ms: int, *, live: bool) -> None:
        """Writes the finished minute to Redis, and the current one too if `live`, by Redis' clock."""
        minute = now_ms // 60_000
        if minute != self._minute:
            self.write()
            self._minute, self.commands, self._written = minute, 0, b""
            self.took.clear()
        elif live:
            self.write()

    def write(self) -> None:
        """Writes the current minute to Redis if its counts have changed. If Redis is away, they are lost."""
        events, p50_ms, p99_ms = self.took.total(), percentile(self.took, 0.5), percentile(self.took, 0.99)
        written = kept_json((self._minute, events, self.commands, p50_ms, p99_ms))  # a Minute
        if not self._minute or not (events or self.commands) or written == self._written:
            return
        if self._written:
            self._store.send_unawaited("ZREM", self._key, self._written)
        self._store.write_unawaited("ZADD", self._key, self._minute, written)
        self._store.send_unawaited("ZREMRANGEBYSCORE", self._key, "-inf", self._minute - KEPT_MINUTES)
        self._store.send_unawaited("EXPIRE", self._key, MINUTES_EXPIRE_S)
        self._written = written


def percentile(took: Counter[int], share: float) -> int:
    """The latency (ms) that this share of the events did not exceed; 0 without events."""
    left = share * took.total()
    for step in sorted(took):
        left -= took[step]
        if left <= 0:
            return round(2 ** (step / _STEPS))
    return 0
