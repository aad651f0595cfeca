"""The bars of the last 24 hours in the rows of the table, read from Redis once a minute for all readers."""

import asyncio
import time
from collections.abc import Sequence

from services.modapi.fleet.rows import ServerRow
from services.modapi.page.chart import DayBar, day_bar
from services.relay.instances.half_hours import read_half_hours
from services.relay.store.client import Store

FRESH_S = 60.0


class DayBars:
    """Keeps the bars of the servers that were shown within the last minute."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[str, tuple[float, DayBar]] = {}  # by slug, with when it was read

    async def of(self, rows: Sequence[ServerRow]) -> dict[str, DayBar]:
        """The bars of these servers by slug. Raises StoreError."""
        now_s = time.monotonic()
        kept = {slug: one for slug, one in self._kept.items() if now_s - one[0] < FRESH_S}
        missing = [row for row in rows if row.slug not in kept]
        found = await asyncio.gather(
            *(read_half_hours(self._store, row.slug, row.facts.now_ms, row.there_ms) for row in missing)
        )
        kept |= {
            row.slug: (now_s, day_bar(half_hours)) for row, half_hours in zip(missing, found, strict=True)
        }
        self._kept = kept
        return {row.slug: kept[row.slug][1] for row in rows}
