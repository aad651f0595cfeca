"""Events that were accepted and have not passed: they wait for Takaro, or were put aside. Nobody need own the
instance for that, so this is what shows that a mod works before there is a token.
"""

import asyncio
import json
from collections.abc import Sequence

from services.relay.event_stream import REFUSED_BY_TAKARO, EventStream
from services.relay.instances.dead_letters import DeadLetters, Letter
from services.relay.instances.watching import DEAD, REMEMBERED, WAITING, Passed
from services.relay.store import Store
from services.relay.stream_entries import Delivered, Entry

BATCHES = 20
"""So many of the newest are read: one of them may be a megabyte."""

SETTLED_MS = 2_000
"""What is younger is most likely on its way, and told as delivered in a moment."""

LETTERS = 20


async def accepted(store: Store, slug: str, now_ms: int) -> list[Passed]:
    """The newest that wait or were put aside, at most REMEMBERED of those that wait. Raises StoreError."""
    stream = EventStream(store, slug)
    entries, delivered, letters = await asyncio.gather(
        stream.newest(BATCHES), stream.delivered(), DeadLetters(store, slug).newest(LETTERS)
    )
    return [*waiting(entries, delivered, now_ms)[:REMEMBERED], *map(_put_aside, filter(_is_ours, letters))]


def waiting(entries: Sequence[Entry], delivered: Delivered, now_ms: int) -> list[Passed]:
    """The events of `entries` (the newest first) that are not delivered, the newest first. Pure."""
    found = []
    for entry in entries:
        if now_ms - entry.accepted_ms < SETTLED_MS:
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
