"""Events that were accepted and have not passed: they wait for Takaro, or were put aside. Nobody need own the
instance for that, so this is what shows that a mod works before there is a token.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from itertools import takewhile

from services.relay.instances.activity import DEAD, REMEMBERED, WAITING, ActivityEntry
from services.relay.instances.dead_letters import DeadLetter, DeadLetters
from services.relay.instances.facts import Facts, facts_of
from services.relay.protocol.errors import StoreError
from services.relay.protocol.link_states import LinkState
from services.relay.store.client import Store
from services.relay.store.event_stream import REFUSED_BY_TAKARO, EventStream
from services.relay.store.stream_entries import Delivered, StreamEntry

BATCHES = 20
"""So many of the newest are read: one of them may be a megabyte."""

SETTLED_MS = 2_000
"""What is younger is most likely on its way, and told as delivered in a moment."""

LETTERS = 20
FOLLOW_EVERY_S = 0.5


async def accepted(store: Store, slug: str, facts: Facts) -> list[ActivityEntry]:
    """The newest events that wait or were put aside, at most REMEMBERED of those that wait.

    `facts` are those of the instance. Raises StoreError.
    """
    stream = EventStream(store, slug)
    entries, delivered, letters = await asyncio.gather(
        stream.newest(BATCHES), stream.delivered(), DeadLetters(store, slug).newest(LETTERS)
    )
    waits = waiting(entries, delivered, facts.now_ms, settled_after_ms(facts))
    return [*waits[:REMEMBERED], *map(_put_aside, filter(_is_ours, letters))]


async def follow(store: Store, slug: str) -> AsyncIterator[list[ActivityEntry]]:
    """The events that wait or are put aside, each once, for as long as it is iterated.

    The first list has the newest that wait. While Redis is away it waits.
    """
    follower = _Follower(store, slug)
    while True:
        found: list[ActivityEntry] = []
        with contextlib.suppress(StoreError):
            found = await follower.look()
        yield found
        await asyncio.sleep(FOLLOW_EVERY_S)


class _Follower:
    """How far the two streams of one instance were read; None before the first look."""

    def __init__(self, store: Store, slug: str) -> None:
        self._store, self._slug = store, slug
        self._stream, self._letters = EventStream(store, slug), DeadLetters(store, slug)
        self._entry: str | None = None
        self._letter: str | None = None

    async def look(self) -> list[ActivityEntry]:
        """What is new, the oldest first. Raises StoreError."""
        facts = await facts_of(self._store, self._slug)
        waits = await self._waiting(facts.now_ms, settled_after_ms(facts))
        return sorted([*waits, *await self._put_aside()], key=lambda one: one.at_ms)

    async def _waiting(self, now_ms: int, settled_ms: int) -> list[ActivityEntry]:
        if self._entry is None:
            entries = (await self._stream.newest(BATCHES))[::-1]
        else:
            entries = await self._stream.read(self._entry, BATCHES)
        settled = list(takewhile(lambda entry: _is_settled(entry, now_ms, settled_ms), entries))
        found = waiting(settled[::-1], await self._stream.delivered(), now_ms, settled_ms)
        if self._entry is None:
            found = found[:REMEMBERED]
        if settled or not entries:
            self._entry = settled[-1].id if settled else self._entry or ""
        return found[::-1]

    async def _put_aside(self) -> list[ActivityEntry]:
        if self._letter is None:  # those from before may be days old
            newest = await self._letters.newest(1)
            self._letter = newest[0].id if newest else ""
            return []
        letters = await self._letters.after(self._letter, LETTERS)
        if letters:
            self._letter = letters[-1].id
        return [*map(_put_aside, filter(_is_ours, letters))]


def settled_after_ms(facts: Facts) -> int:
    """Age from which an event that is still in the stream is shown as waiting.

    While Takaro takes events, most younger ones are delivered in a moment. Without a link none is.
    """
    return SETTLED_MS if facts.uplink and facts.link == LinkState.READY else 0


def _is_settled(entry: StreamEntry, now_ms: int, settled_ms: int) -> bool:
    """Whether an event that is in the stream yet is not just on its way. The clock may have been set back."""
    return not 0 <= now_ms - entry.accepted_ms < settled_ms


def waiting(
    entries: Sequence[StreamEntry], delivered: Delivered, now_ms: int, settled_ms: int = SETTLED_MS
) -> list[ActivityEntry]:
    """The events of `entries` (the newest first) that are not delivered, the newest first. Pure."""
    found = []
    for entry in entries:
        if not _is_settled(entry, now_ms, settled_ms):
            continue
        skip = delivered.skip if entry.id == delivered.entry else 0
        needed = delivered.needed.get(entry.id, -1)  # all bits
        found += [
            ActivityEntry("event", entry.accepted_ms, event["type"], event["data"], WAITING, 0)
            for number, event in reversed(list(enumerate(entry.events)))
            if number >= skip and needed >> number & 1
        ]
    return found


def _is_ours(letter: DeadLetter) -> bool:
    """One that Takaro refused has passed, and is told as that."""
    return letter.reason != REFUSED_BY_TAKARO


def _put_aside(letter: DeadLetter) -> ActivityEntry:
    return ActivityEntry(
        "event", letter.at_ms, _type(letter.raw), {"msg": letter.detail}, DEAD, 0, letter.reason
    )


def _type(raw: bytes) -> str:
    """What the mod called it, if that can be read."""
    try:
        read = json.loads(raw)
    except (ValueError, RecursionError):
        return "event"
    named = read.get("type") if isinstance(read, dict) else None
    return named[:40] if isinstance(named, str) else "event"
