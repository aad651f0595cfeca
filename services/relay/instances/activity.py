"""The live activity of an instance: its owner publishes events and commands while somebody watches.

A watcher keeps a key in Redis alive. The owner sees the key with the next renewal of its lease, publishes the
remembered activity first, then all that follows. Redis stores none of it: a lost message does not come again.

The id of an entry is "<source>-<place>": the place is one or more numbers that grow within the source.
Sources are the events that wait, the dead letters (accepted.py), and each run of an owner or a modapi. They
are the same for every modapi, so a reader can go on at another one.
"""

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import orjson

from services.relay.protocol.ends import EventState
from services.relay.protocol.errors import StoreError
from services.relay.protocol.keys import WATCH, keys_of
from services.relay.service.lifecycle import cancelled
from services.relay.store.client import Store, resubscribing, until_redis_answers

REMEMBERED = 50  # number of events, and of writes, that an owner remembers for the next watcher

WATCHED_MS = 10_000  # time after which the key of a watcher that has ended expires

WATCH_AGAIN_S = 3.0  # time between two renewals of that key

SEEN_NUMBERS = 5_000  # number of entries by which a watcher recognises what it has received already

KEPT_RUNS = 8
"""Number of runs in a cursor. An owner has one run, and so has each modapi for its messages to a server."""

_ID = re.compile(r"([a-z0-9]{1,16})((?:-\d{1,16}){1,3})", re.ASCII)
_STREAMS = (EventState.WAITING, EventState.DEAD)


class ActivityEntry(NamedTuple):
    """One event or command, and how it ended. Players wrote the text in it: it may be hostile.

    Of an event, `what` is the type, `data` the data, `state` an EventState, `took_ms` the time from
    acceptance to receipt. Of a command, `what` is the action, `data` the arguments, `state` a CommandEnd,
    `took_ms` the time until then. `detail` is the text of a refusal. An entry has an `id` once it was read
    from Redis.
    """

    kind: str  # "event" or "command"
    at_ms: int  # on Redis' clock; of a message that modapi sends, on its own
    what: str
    data: Mapping[str, Any]
    state: str
    took_ms: int
    detail: str = ""
    id: str = ""


def publish(store: Store, slug: str, run: str, numbered: Iterable[tuple[int, ActivityEntry]]) -> None:
    """Shows entries to those who watch the instance. A watcher takes each number of a `run` once."""
    # Without the ids, which `_new` makes: an older reader takes no entry with another field.
    body = orjson.dumps([run, [(number, *entry[:-1]) for number, entry in numbered]])
    store.send_unawaited("PUBLISH", WATCH + slug, body)


async def watch(
    store: Store, slug: str, watched_ms: int = WATCHED_MS, again_s: float = WATCH_AGAIN_S
) -> AsyncIterator[list[ActivityEntry]]:
    """Yields the activity of the instance, each entry once. The first list is empty: it has subscribed. What
    the owner remembers comes within about a second, perhaps after newer entries. While Redis is away nothing
    comes. Never ends by itself."""
    seen: dict[tuple[str, int], None] = {}  # run of an owner, and number of an entry; the newest last
    watching: asyncio.Task[None] | None = None
    try:
        async for _, body in resubscribing(lambda: store.messages(WATCH + slug)):
            if not body:  # subscribed: before that, the remembered entries would be lost
                await cancelled(watching)
                watching = asyncio.create_task(_keep_watched(store, slug, watched_ms, again_s))
            yield _new(body, seen)
    finally:
        await cancelled(watching)


async def _keep_watched(store: Store, slug: str, watched_ms: int, again_s: float) -> None:
    """Keeps the watcher's key alive. The name in it is new, so the owner publishes what it remembers."""
    key, name = keys_of(slug).watched, secrets.token_hex(4)
    await until_redis_answers(lambda: store.write("SET", key, name, "PX", watched_ms))
    while True:
        await asyncio.sleep(again_s)
        with contextlib.suppress(StoreError):
            if not await store.send("PEXPIRE", key, watched_ms):
                await store.write("SET", key, name, "PX", watched_ms)


def _new(body: bytes, seen: dict[tuple[str, int], None]) -> list[ActivityEntry]:
    """The entries of a message that are new here: the owner repeats older ones for each new watcher."""
    if not body:
        return []
    try:
        run, numbered = orjson.loads(body)
        new = {
            (run, number): ActivityEntry(*fields)._replace(id=f"{run}-{number}")
            for number, *fields in numbered
            if (run, number) not in seen
        }
    except (ValueError, TypeError):  # an uplink of another version wrote it
        return []
    seen.update(dict.fromkeys(new))
    for one in list(islice(seen, max(0, len(seen) - SEEN_NUMBERS))):
        del seen[one]
    return list(new.values())


class Cursor:
    """The last place that a reader has seen in each source, as a text that the reader can bring along later.
    `text` is an earlier cursor, and may be forged."""

    def __init__(self, text: str = "") -> None:
        self._places: dict[str, tuple[int, ...]] = {}
        for id in islice(text.split(","), KEPT_RUNS + len(_STREAMS)):
            self._passes(id)

    def __str__(self) -> str:
        return ",".join("-".join(map(str, (source, *place))) for source, place in self._places.items())

    def __bool__(self) -> bool:
        return bool(self._places)

    def new(self, entries: Iterable[ActivityEntry]) -> Iterator[ActivityEntry]:
        """Those that the reader has not seen. The cursor moves on with each that is taken."""
        return (entry for entry in entries if self._passes(entry.id))

    def _passes(self, id: str) -> bool:
        if not (parts := _ID.fullmatch(id)):
            return False
        source, place = parts[1], tuple(map(int, parts[2].split("-")[1:]))
        last = self._places.pop(source, ())
        self._places[source] = max(place, last)
        runs = [one for one in self._places if one not in _STREAMS]
        if len(runs) > KEPT_RUNS:  # the one that moved on longest ago
            del self._places[runs[0]]
        return place > last


def in_order(entries: Iterable[ActivityEntry]) -> list[ActivityEntry]:
    """Sorted by time, but those of one source in its order, even if a clock was set back meanwhile."""
    latest_ms: dict[str, int] = {}
    timed = []
    for entry in sorted(entries, key=lambda entry: [int(number) for number in entry.id.split("-")[1:]]):
        source = entry.id.partition("-")[0]
        latest_ms[source] = max(entry.at_ms, latest_ms.get(source, 0))
        timed.append((latest_ms[source], entry))
    return [entry for _, entry in sorted(timed, key=lambda one: one[0])]
