"""What passes an instance, live: its owner tells it while somebody looks, and nobody else pays for it.

Whoever looks keeps a key alive; the owner sees it with the next renewal of its lease, tells first what it
remembers, then all that passes. Nothing of this is kept in Redis, and what is lost is lost.
"""

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from services.relay.protocol.errors import StoreError
from services.relay.protocol.keys import WATCH, keys_of
from services.relay.service.lifecycle import cancelled
from services.relay.store.client import Store, patiently

REMEMBERED = 50
"""So many events, and so many commands that change the game, does an owner remember."""

WATCHED_MS = 10_000
SAY_AGAIN_S = 3.0
SUBSCRIBE_AGAIN_S = 1.0
SEEN = 5_000
"""So many numbers of what was told already a watcher keeps."""

DELIVERED, EXPIRED, REFUSED = "delivered", "expired", "refused"
"""What became of an event: Takaro has it; it was too old to be sent; Takaro refused it, or one beside it."""

WAITING, DEAD = "waiting", "dead"
"""What it is as long as nothing became of it (accepted.py): accepted, and not yet sent; put aside."""


class ActivityEntry(NamedTuple):  # made for each event
    """One event or command, with its end. All text in it that players wrote is data, and hostile.

    Of an event: `what` is its type, `data` its data, `fate` one of those above, `took_ms` the time from its
    acceptance to its receipt. Of a command: its action, its arguments; `fate` is "answered", "refused" (by
    the mod), or why there was no answer (uplink's failures.Cause); `detail` the words of a refusal.
    """

    kind: str  # "event" or "command"
    at_ms: int  # on Redis' clock
    what: str
    data: Mapping[str, Any]
    fate: str
    took_ms: int
    detail: str = ""


class _Events(NamedTuple):
    """Some that passed together, numbered from `first` on; what is to be shown of them is made when it is."""

    first: int
    size: int
    make: Callable[[], Iterable[ActivityEntry]]

    def numbered(self) -> Iterator[tuple[int, ActivityEntry]]:
        return enumerate(self.make(), self.first)


class ActivityFeed:
    """The owner's side. It costs next to nothing while nobody looks."""

    def __init__(self, store: Store, slug: str) -> None:
        self._store = store
        self._channel = WATCH + slug
        self._run = secrets.token_hex(4)
        self._number = 0  # of the last one
        self._watched = ""
        self._events: deque[_Events] = deque()
        self._event_count = 0
        self._commands: deque[tuple[int, ActivityEntry]] = deque(maxlen=REMEMBERED)

    def events(self, count: int, make: Callable[[], Iterable[ActivityEntry]]) -> None:
        """So many events have passed."""
        told = _Events(self._number + 1, count, make)
        self._number += count
        self._events.append(told)
        self._event_count += count
        while self._event_count - self._events[0].size >= REMEMBERED:
            self._event_count -= self._events.popleft().size
        if self._watched:
            self._publish(list(told.numbered()))

    def command(self, passed: ActivityEntry, *, remember: bool = True) -> None:
        """A command has come to its end."""
        self._number += 1
        if remember:
            self._commands.append((self._number, passed))
        if self._watched:
            self._publish([(self._number, passed)])

    def watched(self, by: str) -> None:
        """Who looks at it now, "" for nobody. To somebody new all that is remembered is told."""
        if by and by != self._watched:
            events = [one for told in self._events for one in told.numbered()][-REMEMBERED:]
            self._publish(sorted((*events, *self._commands), key=itemgetter(0)))
        self._watched = by

    def _publish(self, told: list[tuple[int, ActivityEntry]]) -> None:
        if told:
            body = orjson.dumps([self._run, [(number, *one) for number, one in told]])
            self._store.tell("PUBLISH", self._channel, body)


async def watch(store: Store, slug: str) -> AsyncIterator[list[ActivityEntry]]:
    """What passes the instance, each once, for as long as it is iterated; an empty list first: it listens.

    What the owner remembers comes within about a second, perhaps behind what is newer. While Redis is away it
    waits.
    """
    seen: dict[str, dict[int, None]] = {}  # the numbers of each owner
    looking: asyncio.Task[None] | None = None
    try:
        while True:
            with contextlib.suppress(StoreError):
                async for _, body in store.messages(WATCH + slug):
                    if looking is None:  # before we listen nothing may be told
                        looking = asyncio.create_task(_look(store, slug))
                    yield _new(body, seen)
            await _ended(looking)
            looking = None
            await asyncio.sleep(SUBSCRIBE_AGAIN_S)
    finally:
        await _ended(looking)


async def _look(store: Store, slug: str) -> None:
    """Says that somebody looks, under a name of its own: the owner tells all that it remembers then."""
    key, name = keys_of(slug).watched, secrets.token_hex(4)
    await patiently(lambda: store.send("SET", key, name, "PX", WATCHED_MS))
    while True:
        await asyncio.sleep(SAY_AGAIN_S)
        with contextlib.suppress(StoreError):
            if not await store.send("PEXPIRE", key, WATCHED_MS):
                await store.send("SET", key, name, "PX", WATCHED_MS)


async def _ended(looking: asyncio.Task[None] | None) -> None:
    if looking:
        await cancelled(looking)


def _new(body: bytes, seen: dict[str, dict[int, None]]) -> list[ActivityEntry]:
    """What is in a message and was not told before: for others who begin to look it is told again."""
    if not body:
        return []
    try:
        run, told = orjson.loads(body)
        known = seen.setdefault(run, {})
        new = [(number, ActivityEntry(*fields)) for number, *fields in told if number not in known]
    except (ValueError, TypeError):  # of an uplink of another version
        return []
    known.update(dict.fromkeys(number for number, _ in new))
    for number in list(known)[: max(0, len(known) - SEEN)]:
        del known[number]
    return [one for _, one in new]
