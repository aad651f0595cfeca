"""The last hour of an instance in rows of one minute: how much passed, and how long it took.

What is accepted the script counts that accepts it (append.lua), whoever owns the instance, or nobody. What is
delivered, and commands, the owner counts, and writes a row when its minute is over, or again and again while
somebody looks; so the hour outlives the owner. A minute that two owners shared has two rows.
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

KEPT = 60
_EXPIRE_S = 2 * 3600
_STEPS = 8
"""Latencies are counted in steps of an eighth of a power of two: percentiles are true to within 9 %."""


class Minute(NamedTuple):
    """What passed in one minute, by Redis' clock. Latencies (ms) are from acceptance to Takaro's receipt."""

    minute: int  # since 1970
    events: int  # delivered
    commands: int
    p50_ms: int
    p99_ms: int
    accepted: int = 0  # events that the mod has its answer for; no row has it, see above


class Minutes:
    """Counts one minute after the other."""

    def __init__(self, store: Store, slug: str) -> None:
        self._store = store
        self._key = keys_of(slug).minutes
        self._minute = 0
        self._commands = 0
        self._took: Counter[int] = Counter()  # events by step of latency
        self._written = b""  # the row of this minute

    def events(self, took_ms: float, count: int) -> None:
        """So many events were receipted."""
        self._took[round(_STEPS * math.log2(max(1.0, took_ms)))] += count

    def command(self) -> None:
        """A command that changes the game came to its end."""
        self._commands += 1

    def looked(self, now_ms: int, *, live: bool = False) -> None:
        """It is that late on Redis' clock: a minute that is over is written down; if `live`, this one too."""
        minute = now_ms // 60_000
        if minute != self._minute:
            self.write()
            self._minute, self._commands, self._written = minute, 0, b""
            self._took.clear()
        elif live:
            self.write()

    def write(self) -> None:
        """Writes down what was counted, if anything new. Lost if Redis is away: it is only a picture."""
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
            self._store.tell("ZREM", self._key, self._written)
        self._store.tell("ZADD", self._key, self._minute, written)
        self._store.tell("ZREMRANGEBYSCORE", self._key, "-inf", self._minute - KEPT)
        self._store.tell("EXPIRE", self._key, _EXPIRE_S)
        self._written = written


def percentile(took: Counter[int], share: float) -> int:
    """The latency in ms that this share of the events kept within; 0 without events."""
    left = share * took.total()
    for step in sorted(took):
        left -= took[step]
        if left <= 0:
            return round(2 ** (step / _STEPS))
    return 0


async def read_minutes(store: Store, slug: str, now_ms: int) -> list[Minute]:
    """The last KEPT minutes, oldest first, empty ones too. Raises StoreError."""
    keys = keys_of(slug)
    rows, tallies = await asyncio.gather(
        store.send("ZRANGE", keys.minutes, 0, -1),
        store.send("HMGET", keys.intake, *(f"m{minute}" for minute in range(KEPT))),
    )
    accepted = {int(minute): int(count) for minute, count in (tally.split() for tally in tallies if tally)}
    return last_hour((Minute(*orjson.loads(row)) for row in rows), now_ms, accepted)


def last_hour(rows: Iterable[Minute], now_ms: int, accepted: Mapping[int, int] | None = None) -> list[Minute]:
    """Rows of one minute are put together, minutes without a row filled in. `accepted` is by minute."""
    now, accepted = now_ms // 60_000, accepted or {}
    hour = {
        minute: Minute(minute, 0, 0, 0, 0, accepted.get(minute, 0))
        for minute in range(now - KEPT + 1, now + 1)
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
