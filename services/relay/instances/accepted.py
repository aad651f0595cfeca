"""Events that modapi has accepted and that Takaro does not have: they wait, or are dead letters.

They are read from Redis, without an owner: they show that a mod works before its server has a token.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from itertools import takewhile

from services.relay.instances.activity import REMEMBERED, ActivityEntry
from services.relay.instances.dead_letters import DeadLetter, DeadLetters
from services.relay.instances.facts import Facts, facts_of
from services.relay.protocol.ends import EventState
from services.relay.protocol.errors import StoreError
from services.relay.protocol.link_states import LinkState
from services.relay.store.client import Store
from services.relay.store.event_stream import REFUSED_BY_TAKARO, EventStream
from services.relay.store.stream_entries import Delivered, StreamEntry

BATCHES = 20  # number of newest batches to read; one batch may be a megabyte

SETTLED_MS = 2_000  # age from which an event of a linked server counts as waiting for those who follow

DEAD_LETTERS = 20  # number of dead letters to read at once

FOLLOW_EVERY_S = 0.5

_WAITS = EventState.WAITING


async def accepted(store: Store, slug: str, facts: Facts, settled_ms: int = 0) -> list[ActivityEntry]:
    """The newest events that wait for Takaro, at most REMEMBERED, from the age `settled_ms` on, and the
    newest dead letters of the mod's. The newest come first. Raises StoreError."""
    return (await _Follower(store, slug).read(facts, settled_ms))[::-1]


def settled_ms(facts: Facts) -> int:
    """The age from which an event counts as waiting for those who follow: while Takaro takes events, most
    younger ones are delivered in a moment. Pure."""
    return SETTLED_MS if facts.uplink and facts.link == LinkState.READY else 0


def undelivered(accepted: Iterable[ActivityEntry], ended: Iterable[ActivityEntry]) -> list[ActivityEntry]:
    """The `accepted` events without those that have `ended` meanwhile: an event that was just delivered may
    still be in the stream. An equal later one is another event. Pure."""
    ends = [entry for entry in ended if entry.kind == "event"]
    return [
        entry
        for entry in accepted
        if entry.state != EventState.WAITING
        or not any(
            (end.what, end.data) == (entry.what, entry.data) and end.at_ms >= entry.at_ms for end in ends
        )
    ]


async def follow(store: Store, slug: str) -> AsyncIterator[list[ActivityEntry]]:
    """Yields the events that wait, and the dead letters, every FOLLOW_EVERY_S; each once. The first list has
    the newest. While Redis is away the lists are empty. Never ends by itself."""
    follower = _Follower(store, slug)
    while True:
        found: list[ActivityEntry] = []
        with contextlib.suppress(StoreError):
            facts = await facts_of(store, slug)
            found = await follower.read(facts, settled_ms(facts))
        yield found
        await asyncio.sleep(FOLLOW_EVERY_S)


class _Follower:
    """Remembers how far it has read the events and the dead letters of one instance."""

    def __init__(self, store: Store, slug: str) -> None:
        self._stream, self._dead_letters = EventStream(store, slug), DeadLetters(store, slug)
        self._last_entry: str | None = None  # an id; None: it begins with the newest
        self._last_dead_letter: str | None = None

    async def read(self, facts: Facts, settled_ms: int) -> list[ActivityEntry]:
        """The entries that are new since the last call, the oldest first. If there are none it costs no call
        of Redis. Raises StoreError."""
        (waits, last_entry), (dead, last_dead_letter) = await asyncio.gather(
            self._waiting(facts, settled_ms), self._dead(facts)
        )
        # Not before both were read: what one has found would be lost if the other fails.
        self._last_entry, self._last_dead_letter = last_entry, last_dead_letter
        return sorted([*waits, *dead], key=lambda entry: entry.at_ms)

    async def _waiting(self, facts: Facts, settled_ms: int) -> tuple[list[ActivityEntry], str | None]:
        """The new events, and up to which entry they were read."""
        last = self._last_entry
        entries: list[StreamEntry] = []
        if facts.oldest_ms is not None and last is None:
            entries = (await self._stream.newest(BATCHES))[::-1]
        elif facts.oldest_ms is not None:
            entries = await self._stream.read(last or "", BATCHES)
        settled = settled_of(entries, facts.now_ms, settled_ms)
        found = undelivered_events(settled[::-1], await self._stream.delivered()) if settled else []
        if last is None:
            found = found[:REMEMBERED]
        if settled or not entries:
            last = settled[-1].id if settled else last or ""
        return found[::-1], last

    async def _dead(self, facts: Facts) -> tuple[list[ActivityEntry], str]:
        last = self._last_dead_letter
        dead_letters: list[DeadLetter] = []
        if facts.dead and last is None:
            dead_letters = (await self._dead_letters.newest(DEAD_LETTERS))[::-1]
        elif facts.dead:
            dead_letters = await self._dead_letters.after(last or "", DEAD_LETTERS)
        shown = [
            ActivityEntry(
                "event",
                letter.at_ms,
                _type(letter.raw),
                {"msg": letter.detail},
                EventState.DEAD,
                0,
                letter.reason,
                f"{EventState.DEAD}-{letter.id}",
            )
            for letter in dead_letters
            if letter.reason != REFUSED_BY_TAKARO  # the activity feed (activity.py) shows those
        ]
        return shown, dead_letters[-1].id if dead_letters else last or ""


def settled_of(entries: Iterable[StreamEntry], now_ms: int, settled_ms: int) -> list[StreamEntry]:
    """The first entries that are old enough to count as waiting, or from before Redis' clock was set back.
    One that came since `now_ms` was read is young."""
    return list(takewhile(lambda entry: not -settled_ms <= now_ms - entry.accepted_ms < settled_ms, entries))


def undelivered_events(entries: Iterable[StreamEntry], delivered: Delivered) -> list[ActivityEntry]:
    """The events of `entries` (the newest first) that are not delivered, the newest first. Pure."""
    found = []
    for entry in entries:
        skip = delivered.skip if entry.id == delivered.entry else 0
        needed = delivered.needed.get(entry.id, -1)  # all bits
        for number, event in reversed(list(enumerate(entry.events))):
            if number >= skip and needed >> number & 1:
                at_ms, id = entry.accepted_ms, f"{_WAITS}-{entry.id}-{number}"
                found.append(ActivityEntry("event", at_ms, event["type"], event["data"], _WAITS, 0, id=id))
    return found


def _type(raw: bytes) -> str:
    """The type that the mod gave the event, "event" if it cannot be read."""
    try:
        type_name = json.loads(raw)["type"]
    except (ValueError, RecursionError, LookupError, TypeError):
        return "event"
    return type_name[:40] if isinstance(type_name, str) else "event"
