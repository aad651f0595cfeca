"""The last 24 hours of an instance in half hours: accepted events, and how long its link was ready.

append.lua counts accepted events, so they are counted even if no uplink owns the instance. The owner adds the
seconds of its link once a minute; so they outlive the owner, and what nobody owned counts as not linked.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum, unique
from typing import NamedTuple

from services.relay.instances.minutes import KEPT_MINUTES
from services.relay.protocol.keys import keys_of
from services.relay.store.client import Store, pairs

HALF_HOURS = 48
LENGTH_S = 1_800
_EXPIRE_S = (HALF_HOURS + 2) * LENGTH_S

SLACK_S = 90
"""Seconds of a half hour that may be missing from a link that was up: the owner writes once a minute."""

LONGEST_STEP_MS = 5_000
"""Longest time between two renewals of the lease that counts as linked: after a longer one nobody knows."""


@unique
class LinkUptime(StrEnum):
    """How the link was in a half hour."""

    UP = "up"
    PARTLY = "partly"
    DOWN = "down"
    UNKNOWN = "unknown"  # from before the first event and the first link, or it has only begun


class HalfHour(NamedTuple):
    """Half an hour of Redis' clock. `length_s` is less than LENGTH_S for the current one."""

    number: int  # half hours since 1970
    length_s: int
    accepted: int  # events
    linked_s: int
    link: LinkUptime

    @property
    def begun_ms(self) -> int:
        return self.number * LENGTH_S * 1000


class LinkedTime:
    """The owner's count of the time for which its link was ready."""

    def __init__(self, store: Store, slug: str) -> None:
        self._store = store
        self._key = keys_of(slug).linked
        self._looked_ms = 0
        self._linked_ms = 0
        self._written_to = 0  # number of the half hour

    def looked(self, now_ms: int, *, linked: bool) -> None:
        """Counts the time since the last call if the link is ready now, and writes it down once a minute.

        `now_ms` is Redis' clock.
        """
        if now_ms // 60_000 != self._looked_ms // 60_000:
            self.write()
        step_ms = now_ms - self._looked_ms
        if linked and 0 < step_ms <= LONGEST_STEP_MS:
            self._linked_ms += step_ms
        self._looked_ms = now_ms

    def write(self) -> None:
        """Adds what was counted to the half hour of the last look. If Redis is away, it is lost."""
        seconds, self._linked_ms = divmod(self._linked_ms, 1000)
        if not seconds:
            return
        number = self._looked_ms // 1000 // LENGTH_S
        self._store.send_unawaited("HINCRBY", self._key, number, seconds)
        if number != self._written_to:
            self._written_to = number
            self._store.send_unawaited(
                "HDEL", self._key, *range(number - 2 * HALF_HOURS, number - HALF_HOURS)
            )
            self._store.send_unawaited("EXPIRE", self._key, _EXPIRE_S)


async def read_half_hours(store: Store, slug: str, now_ms: int) -> list[HalfHour]:
    """The last 24 hours, the oldest half hour first. `now_ms` is Redis' clock. Raises StoreError."""
    keys = keys_of(slug)
    (earlier, *minutes), linked = await asyncio.gather(
        store.send("HMGET", keys.intake, "day", *(f"m{minute}" for minute in range(KEPT_MINUTES))),
        store.send("HGETALL", keys.linked),
    )
    accepted: Counter[int] = Counter()
    for minute, count in (tally.split() for tally in minutes if tally):
        accepted[int(minute) * 60 // LENGTH_S] += int(count)
    numbers = [int(word) for word in (earlier or b"").split()]
    for number, count in zip(numbers[::2], numbers[1::2], strict=True):
        accepted[number] += count
    return last_day(accepted, {int(number): int(seconds) for number, seconds in pairs(linked)}, now_ms)


def last_day(accepted: Mapping[int, int], linked_s: Mapping[int, int], now_ms: int) -> list[HalfHour]:
    """The half hours until `now_ms`. Both mappings are by the number of a half hour. Pure."""
    now = now_ms // 1000 // LENGTH_S
    numbers = range(now - HALF_HOURS + 1, now + 1)
    first = min(
        (number for number in numbers if accepted.get(number) or linked_s.get(number)), default=now + 1
    )
    return [
        _half_hour(
            number,
            now_ms // 1000 % LENGTH_S if number == now else LENGTH_S,
            accepted.get(number, 0),
            linked_s.get(number, 0),
            is_known=number >= first,
        )
        for number in numbers
    ]


def _half_hour(number: int, length_s: int, accepted: int, linked_s: int, *, is_known: bool) -> HalfHour:
    if not is_known or (not linked_s and length_s <= SLACK_S):
        link = LinkUptime.UNKNOWN
    elif linked_s >= length_s - SLACK_S:
        link = LinkUptime.UP
    else:
        link = LinkUptime.PARTLY if linked_s else LinkUptime.DOWN
    return HalfHour(number, length_s, accepted, min(linked_s, length_s), link)
