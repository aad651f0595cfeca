"""The last hour of an instance in rows of one minute: numbers of events and commands, and latencies.

append.lua counts accepted events, so they are counted even if no uplink owns the instance. The owner counts
delivered events and commands. It writes a row at the end of each minute, and more often while somebody
watches; so the rows outlive the owner. A minute that two owners shared has two rows.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import orjson

from services.relay.protocol.codec import kept_json
from services.relay.protocol.keys import keys_of
from services.relay.store.client import Store

KEPT_MINUTES = 60
_EXPIRE_S = 2 * 3600
_STEPS = 8
"""Steps of latency for each power of two: percentiles are exact to 9 %."""


class Minute(NamedTuple):
    """One minute of Redis' clock. Latencies (ms) run from the acceptance of an event to Takaro's receipt."""

    minute: int  # since 1970
    events: int  # delivered
    commands: int  # writes that have ended
    p50_ms: int
    p99_ms: int
    accepted: int = 0  # events; append.lua counts them, so a stored row has none


class Minutes:
    """The owner's counts of the current minute."""

    def __init__(self, store: Store, slug: str) -> None:
        self._store = store
        self._key = keys_of(slug).minutes
        self._minute = 0
        self._commands = 0
        self._took: Counter[int] = Counter()  # events by step of latency
        self._written = b""  # the row of this minute as Redis has it

    def events(self, took_ms: float, count: int) -> None:
        """Counts `count` events that Takaro has receipted."""
        self._took[round(_STEPS * math.log2(max(1.0, took_ms)))] += count

    def command(self) -> None:
        """Counts a write that has ended."""
        self._commands += 1

    def looked(self, now_ms: int, *, live: bool = False) -> None:
        """Writes the finished minute to Redis, and the current one too if `live`. `now_ms` is Redis'
        clock."""
        minute = now_ms // 60_000
        if minute != self._minute:
            self.write()
            self._minute, self._commands, self._written = minute, 0, b""
            self._took.clear()
        elif live:
            self.write()

    def write(self) -> None:
        """Writes the current minute to Redis if its counts have changed. If Redis is away, they are lost."""
        row = Minute(
            self._minute,
            self._took.total(),
            self._commands,
            percentile(self._took, 0.5),
            percentile(self._took, 0.99),
        )
        written = kept_json(tuple(row[:5]))
        if not self._minute or not (row.events or row.commands) or written == self._written:
            return
        if self._written:
            self._store.send_unawaited("ZREM", self._key, self._written)
        self._store.send_unawaited("ZADD", self._key, self._minute, written)
        self._store.send_unawaited("ZREMRANGEBYSCORE", self._key, "-inf", self._minute - KEPT_MINUTES)
        self._store.send_unawaited("EXPIRE", self._key, _EXPIRE_S)
        self._written = written


def percentile(took: Counter[int], share: float) -> int:
    """The latency (ms) that this share of the events did not exceed; 0 without events."""
    left = share * took.total()
    for step in sorted(took):
        left -= took[step]
        if left <= 0:
            return round(2 ** (step / _STEPS))
    return 0


async def read_minutes(store: Store, slug: str, now_ms: int) -> list[Minute]:
    """The last KEPT_MINUTES minutes, the oldest first, empty ones too. Raises StoreError."""
    keys = keys_of(slug)
    rows, tallies = await asyncio.gather(
        store.send("ZRANGE", keys.minutes, 0, -1),
        store.send("HMGET", keys.intake, *(f"m{minute}" for minute in range(KEPT_MINUTES))),
    )
    accepted = {int(minute): int(count) for minute, count in (tally.split() for tally in tallies if tally)}
    return last_hour((Minute(*orjson.loads(row)) for row in rows), now_ms, accepted)


def last_hour(rows: Iterable[Minute], now_ms: int, accepted: Mapping[int, int] | None = None) -> list[Minute]:
    """Adds up the rows of each minute and fills in minutes without a row. `accepted` is by minute."""
    now, accepted = now_ms // 60_000, accepted or {}
    hour = {
        minute: Minute(minute, 0, 0, 0, 0, accepted.get(minute, 0))
        for minute in range(now - KEPT_MINUTES + 1, now + 1)
    }
    for row in rows:
        if other := hour.get(row.minute):
            hour[row.minute] = Minute(
                row.minute,
                row.events + other.events,
                row.commands + other.commands,
                max(row.p50_ms, other.p50_ms),
                max(row.p99_ms, other.p99_ms),
                other.accepted,
            )
    return list(hour.values())
