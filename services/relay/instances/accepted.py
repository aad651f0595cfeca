"""Events that were accepted and have not passed: they wait for Takaro, or were put aside. Nobody need own the
instance for that, so this is what shows that a mod works before there is a token.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from itertools import takewhile

from services.relay.errors import StoreError
from services.relay.event_stream import REFUSED_BY_TAKARO, EventStream
from services.relay.instances.dead_letters import DeadLetters, Letter
from services.relay.instances.facts import facts_of
from services.relay.instances.watching import DEAD, REMEMBERED, WAITING, Passed
from services.relay.link_state import State
from services.relay.store import Store
from services.relay.stream_entries import Delivered, Entry

BATCHES = 20
"""So many of the newest are read: one of them may be a megabyte."""

SETTLED_MS = 2_000
"""What is younger is most likely on its way, and told as delivered in a moment."""

LETTERS = 20
FOLLOW_EVERY_S = 0.5


async def accepted(store: Store, slug: str, now_ms: int) -> list[Passed]:
    """The newest that wait or were put aside, at most REMEMBERED of those that wait. Raises StoreError."""
    stream = EventStream(store, slug)
    entries, delivered, letters = await asyncio.gather(
        stream.newest(BATCHES), stream.delivered(), DeadLetters(store, slug).newest(LETTERS)
    )
    return [*waiting(entries, delivered, now_ms)[:REMEMBERED], *map(_put_aside, filter(_is_ours, letters))]


async def follow(store: Store, slug: str) -> AsyncIterator[list[Passed]]:
    """The events that wait or are put aside, each once, for as long as it is iterated.

    The first list has the newest that wait. While Redis is away it waits.
    """
    follower = _Follower(store, slug)
    while True:
        found: list[Passed] = []
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

    async def look(self) -> list[Passed]:
        """What is new, the oldest first. Raises StoreError."""
        facts = await facts_of(self._store, self._slug)
        # While Takaro takes events, most of those that are young are delivered in a moment.
        settled_ms = SETTLED_MS if facts.uplink and facts.link == State.READY else 0
        waits = await self._waiting(facts.now_ms, settled_ms)
        return sorted([*waits, *await self._put_aside()], key=lambda one: one.at_ms)

    async def _waiting(self, now_ms: int, settled_ms: int) -> list[Passed]:
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

    async def _put_aside(self) -> list[Passed]:
        if self._letter is None:  # those from before may be days old
            newest = await self._letters.newest(1)
            self._letter = newest[0].id if newest else ""
            return []
        letters = await self._letters.after(self._letter, LETTERS)
        if letters:
            self._letter = letters[-1].id
        return [*map(_put_aside, filter(_is_ours, letters))]


def _is_settled(entry: Entry, now_ms: int, settled_ms: int) -> bool:
    """Whether an event that is in the stream yet is not just on its way. The clock may have been set back."""
    return not 0 <= now_ms - entry.accepted_ms < settled_ms


def waiting(
    entries: Sequence[Entry], delivered: Delivered, now_ms: int, settled_ms: int = SETTLED_MS
) -> list[Passed]:
    """The events of `entries` (the newest first) that are not delivered, the newest first. Pure."""
    found = []
    for entry in entries:
        if not _is_settled(entry, now_ms, settled_ms):
            continue
        skip = delivered.skip if entry.id == delivered.entry else 0
        needed = delivered.needed.get(entry.id, -1)  # all bits
        found += [
            Passed("event", entry.accepted_ms, event["type"], event["data"], WAITING, 0)
            for number, event in reversed(list(enumerate(entry.events)))
            if number >= skip and needed >> number & 1
        ]
    return found


def _is_ours(letter: Letter) -> bool:
    """One that Takaro refused has passed, and is told as that."""
    return letter.reason != REFUSED_BY_TAKARO


def _put_aside(letter: Letter) -> Passed:
    return Passed("event", letter.at_ms, _type(letter.raw), {"msg": letter.detail}, DEAD, 0, letter.reason)


def _type(raw: bytes) -> str:
    """What the mod called it, if that can be read."""
    try:
        read = json.loads(raw)
    except (ValueError, RecursionError):
        return "event"
    named = read.get("type") if isinstance(read, dict) else None
    return named[:40] if isinstance(named, str) else "event"
