"""The last hour of an instance in rows of one minute: numbers of events and commands, and latencies.

append.lua counts accepted events, so they are counted even if no uplink owns the instance. The owner counts
delivered events and commands, and stores the rows (uplink/reporting/activity_log.py). A minute that two
owners shared has two rows.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import orjson

from services.relay.protocol.keys import keys_of
from services.relay.store.client import Store

KEPT_MINUTES = 60


class Minute(NamedTuple):
    """One minute of Redis' clock. Latencies (ms) run from the acceptance of an event to Takaro's receipt."""

    minute: int  # since 1970
    events: int  # delivered
    commands: int  # writes that have ended
    p50_ms: int
    p99_ms: int
    accepted: int = 0  # events; append.lua counts them, so a stored row has none


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
