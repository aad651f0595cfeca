"""The counts of an instance: its last hour in minutes, its last 24 hours in half hours.

append.lua counts accepted events, with or without an owner. The owner stores a row a minute with delivered
events, commands and latencies (uplink/reporting/activity_log.py); a minute that two owners shared has two
rows. It adds the seconds of its link once a minute: what nobody owned counts as not linked.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum, unique
from typing import NamedTuple

import orjson

from services.relay.protocol.keys import keys_of
from services.relay.store.client import Store, pairs

KEPT_MINUTES = 60
_MINUTE_FIELDS = tuple(f"m{minute}" for minute in range(KEPT_MINUTES))

HALF_HOURS = 48
LENGTH_S = 1_800
KEPT = 2 * HALF_HOURS
"""Number of half hours whose seconds are kept: the older ones show that the instance existed."""

SLACK_S = 90  # seconds of a half hour that a link that was up may lack: the owner writes once a minute

LONGEST_STEP_MS = 5_000  # between two renewals of the lease that counts as linked: then nobody knows


class Minute(NamedTuple):
    """One minute of Redis' clock. Latencies (ms) run from the acceptance of an event to Takaro's receipt."""

    minute: int  # since 1970
    events: int  # delivered
    commands: int  # writes that have ended
    p50_ms: int
    p99_ms: int
    accepted: int = 0  # events; append.lua counts them, so a stored row has none

    @property
    def begun_ms(self) -> int:
        return self.minute * 60_000


async def read_minutes(store: Store, slug: str, now_ms: int) -> list[Minute]:
    """The last KEPT_MINUTES minutes, the oldest first, empty ones too. Raises StoreError."""
    keys = keys_of(slug)
    rows, tallies = await asyncio.gather(
        store.send("ZRANGE", keys.minutes, 0, -1),
        store.send("HMGET", keys.intake, *_MINUTE_FIELDS),
    )
    return last_hour((Minute(*orjson.loads(row)) for row in rows), now_ms, _accepted(tallies))


def _accepted(tallies: Iterable[bytes | None]) -> dict[int, int]:
    """Accepted events by minute, from the fields of _MINUTE_FIELDS."""
    return {int(minute): int(count) for minute, count in (tally.split() for tally in tallies if tally)}


def last_hour(rows: Iterable[Minute], now_ms: int, accepted: Mapping[int, int]) -> list[Minute]:
    """Adds up the rows of each minute and fills in minutes without a row. `accepted` is by minute. Pure."""
    now = now_ms // 60_000
    hour = {
        minute: Minute(minute, 0, 0, 0, 0, accepted.get(minute, 0))
        for minute in range(now - KEPT_MINUTES + 1, now + 1)
    }
    for row in rows:
        if other := hour.get(row.minute):
            hour[row.minute] = other._replace(
                events=row.events + other.events,
                commands=row.commands + other.commands,
                p50_ms=max(row.p50_ms, other.p50_ms),
                p99_ms=max(row.p99_ms, other.p99_ms),
            )
    return list(hour.values())


@unique
class LinkUptime(StrEnum):
    """How the link was in a half hour."""

    UP = "up"
    PARTLY = "partly"
    DOWN = "down"
    UNKNOWN = "unknown"  # the instance was not there yet, or the half hour has only begun


class HalfHour(NamedTuple):
    """Half an hour of Redis' clock. `length_s`: the part that is over and in which the instance was there."""

    number: int  # half hours since 1970
    length_s: int
    accepted: int  # events
    linked_s: int

    @property
    def begun_ms(self) -> int:
        return self.number * LENGTH_S * 1000

    @property
    def link(self) -> LinkUptime:
        if not self.linked_s and self.length_s <= SLACK_S:
            return LinkUptime.UNKNOWN
        if self.linked_s >= self.length_s - SLACK_S:
            return LinkUptime.UP
        return LinkUptime.PARTLY if self.linked_s else LinkUptime.DOWN


class LinkedTime:
    """The owner's count of the time for which its link was ready."""

    def __init__(self, store: Store, slug: str) -> None:
        self._store = store
        self._key = keys_of(slug).linked
        self._counted_ms = 0
        self._linked_ms = 0
        self._written_to = 0  # number of the half hour

    def count_until(self, now_ms: int, *, linked: bool) -> None:
        """Counts the time since the last call if the link is ready now. Once a minute it is written down,
        and in each half hour the first time at once. `now_ms` is Redis' clock."""
        is_first = self._counted_ms // 1000 // LENGTH_S != self._written_to
        if is_first or now_ms // 60_000 != self._counted_ms // 60_000:
            self.write()
        step_ms = now_ms - self._counted_ms
        if linked and 0 < step_ms <= LONGEST_STEP_MS:
            self._linked_ms += step_ms
        self._counted_ms = now_ms

    def write(self) -> None:
        """Adds what was counted to the half hour of the last count. If Redis is away, it is lost."""
        seconds, self._linked_ms = divmod(self._linked_ms, 1000)
        if not seconds:
            return
        number = self._counted_ms // 1000 // LENGTH_S
        self._store.write_unawaited("HINCRBY", self._key, number, seconds)
        if number != self._written_to:
            self._written_to = number
            self._store.send_unawaited("HDEL", self._key, *range(number - 2 * KEPT, number - KEPT))
            self._store.send_unawaited("EXPIRE", self._key, KEPT * LENGTH_S)


async def read_half_hours(store: Store, slug: str, now_ms: int, there_ms: int = 0) -> list[HalfHour]:
    """The last 24 hours, the oldest half hour first. `now_ms` is Redis' clock. At `there_ms` the instance was
    there already; 0: unknown. Raises StoreError."""
    keys = keys_of(slug)
    (earlier, *minutes), linked = await asyncio.gather(
        store.send("HMGET", keys.intake, "day", *_MINUTE_FIELDS),
        store.send("HGETALL", keys.linked),
    )
    accepted: Counter[int] = Counter()
    for minute, count in _accepted(minutes).items():
        accepted[minute * 60 // LENGTH_S] += count
    for half_hour, total in pairs((earlier or b"").split()):
        accepted[int(half_hour)] += int(total)
    linked_s = {int(number): int(seconds) for number, seconds in pairs(linked)}
    return last_day(accepted, linked_s, now_ms, there_ms)


def last_day(
    accepted: Mapping[int, int], linked_s: Mapping[int, int], now_ms: int, there_ms: int = 0
) -> list[HalfHour]:
    """The half hours until `now_ms`. Both mappings are by the number of a half hour. Pure."""
    now_s = now_ms // 1000
    now = now_s // LENGTH_S
    found = (number for number in {*accepted, *linked_s} if accepted.get(number) or linked_s.get(number))
    there_s = min(found, default=now + 1) * LENGTH_S
    if there_ms and there_ms // 1000 < there_s + LENGTH_S:  # it came in the middle of a half hour
        there_s = there_ms // 1000
    half_hours = []
    for number in range(now - HALF_HOURS + 1, now + 1):
        length_s = max(0, min((number + 1) * LENGTH_S, now_s) - max(number * LENGTH_S, there_s))
        linked = min(linked_s.get(number, 0), length_s)
        half_hours.append(HalfHour(number, length_s, accepted.get(number, 0), linked))
    return half_hours
