"""The stream of game events of one instance: modapi appends batches, uplink reads and acknowledges them.

Order is kept. Nothing is ever trimmed to make room: a full stream refuses, and the mod keeps its events.
"""

import itertools
import math
import secrets
import time
from collections.abc import Sequence
from typing import Any

import orjson

from services.relay.protocol.errors import LostLease, StoreError
from services.relay.protocol.keys import WAKE_EVENTS, keys_of
from services.relay.protocol.records import DeadEvent, GameEvent
from services.relay.store.client import Script, Store
from services.relay.store.repeats import NO_BEGINNING, AnswerNotes, shortest_distinctive
from services.relay.store.stream_entries import NOT_ASKED, Appended, Delivered, EventBatch, StreamEntry

MAX_QUEUED_EVENTS = 100_000
MAX_QUEUED_BYTES = 64 * 1024 * 1024
MAX_DEAD_EVENTS = 1_000
MAX_REFUSED_BYTES = 16 * 1024
REFUSED_BY_TAKARO = "refused-by-takaro"  # why uplink buries an event; modapi has all others (dialect/dead.py)

CONTACT_EVERY_MS = 5_000
ID_LATER_MS = 1_000  # an entry's id may be later than the time that its script read: Redis 7.0 reads it again

BROUGHT_BYTES, BROUGHT_AFTER_S = 4_096, 0.25
"""A hint brings a batch of up to this size along if the last one was this long before: its reader need not
ask for it. Batches in quick succession share a hint and a read."""

CALL_WITHIN_S = 2.5  # a mod's POST is answered well under 3 s, with a 503 if need be (protocol.md M6)

_APPEND = Script("append")
_ACK = Script("ack", drains=True)


class EventStream:
    """The event stream of the instance `slug`. `sender` names a sender other than the mod: its repeats are
    recognised among its own batches, and its batches do not count as contact with the mod."""

    def __init__(
        self,
        store: Store,
        slug: str,
        sender: str = "",
        *,
        most_events: int = MAX_QUEUED_EVENTS,
        within_s: float = CALL_WITHIN_S,
    ) -> None:
        self.slug = slug
        self._most_events = most_events
        self._within_s = within_s
        self._store = store
        self._sender = f"{sender}:" if sender else ""
        keys = self._keys = keys_of(slug)
        self._append_keys = (keys.events, keys.intake, keys.dead, keys.players, keys.contact)
        self._token = secrets.token_hex(8)
        self._posts = itertools.count()
        self.notes = AnswerNotes(store, keys.intake, self._sender)
        self._contact_stored_s = -math.inf
        self._appended_s = -math.inf

    async def append(self, batch: EventBatch, received_s: float | None = None) -> Appended:
        """Stores a batch that came at `received_s` (on time.monotonic(); now, if not given). Raises
        StoreError if Redis did not confirm it within `within_s`: it may be stored until then, not later."""
        now_s, cut, token = time.monotonic(), 0, f"{self._token}-{next(self._posts):08x}"
        waited_s = 0.0 if received_s is None else now_s - received_s
        _, now_us = await self._store.redis_us(self._keys.events, now_s)
        post_us = now_us - int(waited_s * 1_000_000), now_us + int(self._within_s * 1_000_000)
        while True:
            asked_s = time.monotonic()
            left_s = now_s + self._within_s - asked_s
            word, redis_us, place, repeated = await self._append(token, batch, cut, post_us, left_s)
            self._store.clock_of(self._keys.events).observe(redis_us, asked_s, time.monotonic())
            match word:
                case b"late":
                    raise StoreError("Redis: it answered too late, or its clock was set")
                case b"full":
                    return Appended("", cut, full=True)
                case b"overtaken":
                    return Appended(NOT_ASKED, repeated)
                case b"accepted":
                    return Appended(f"{place} {token}", repeated)
            cut = repeated

    async def _append(
        self, token: str, batch: EventBatch, cut: int, post_us: tuple[int, int], within_s: float
    ) -> list[Any]:
        """Sends the batch without its first `cut` events. `post_us`: when its POST was received, and when the
        mod gives it up."""
        posted = batch.events
        events: list[GameEvent] = []
        dead: list[str | bytes] = []
        digests: list[bytes] = []
        for number, event in enumerate(posted):
            digests.append(event.digest)
            became = event.became if number >= cut else None
            if isinstance(became, DeadEvent):
                dead += (became.reason, became.detail, became.raw)
            elif became:
                events.append(became)
        players: list[str | bytes] = []
        for player in batch.players.items():
            players += player
        now_s = time.monotonic()
        heard = not self._sender and now_s - self._contact_stored_s >= CONTACT_EVERY_MS / 1000
        if heard:  # not each time: it is one more write to sync to disk
            self._contact_stored_s = now_s
        written = orjson.dumps(events) if events else b""
        brought = len(written) <= BROUGHT_BYTES and now_s - self._appended_s >= BROUGHT_AFTER_S
        self._appended_s = now_s
        if not brought:
            self._store.hint(WAKE_EVENTS, self.slug)
        reply: list[Any] = await self._store.run_until(
            within_s,
            _APPEND,
            self._append_keys,
            token,
            self.notes.arrived(),
            b"".join(digests),
            cut,
            *post_us,
            written,
            len(events),
            self._most_events,
            MAX_QUEUED_BYTES,
            MAX_DEAD_EVENTS,
            "1" if heard else "0",
            self._sender,
            shortest_distinctive(posted) if len(posted) > 1 else NO_BEGINNING,
            WAKE_EVENTS if brought else "",
            len(dead),
            *dead,
            *players,
            durable=True,
        )
        return reply

    async def read(self, after: str, count: int) -> list[StreamEntry]:
        """Up to `count` entries after the entry id `after` ("" for the start), oldest first."""
        start = f"({after}" if after else "-"
        return entries_of(await self._store.send("XRANGE", self._keys.events, start, "+", "COUNT", count))

    async def newest(self, count: int) -> list[StreamEntry]:
        """Up to `count` entries, the newest first."""
        return entries_of(await self._store.send("XREVRANGE", self._keys.events, "+", "-", "COUNT", count))

    async def delivered(self) -> Delivered:
        """How far delivery has come, as it was acknowledged last."""
        stored = await self._store.send("HMGET", self._keys.intake, "cursor", "ahead", "delivered")
        cursor, ahead, total = [value.decode() if value else "" for value in stored]
        entry, _, skip = cursor.partition(" ")
        notes = (note.split(":") for note in ahead.split())
        return Delivered(entry, int(skip or 0), {id: int(mask, 16) for id, mask in notes}, int(total or 0))

    async def ack(
        self, lease: str, delivered: Delivered, count: int, size_bytes: int, gone: Sequence[str] = ()
    ) -> None:
        """Deletes the entries before `delivered.entry` and those of `gone`. Since the last call, these are
        `count` events, and entries of `size_bytes`. Raises LostLease, StoreError."""
        keys = (self._keys.lease, self._keys.events, self._keys.intake)
        done = await self._store.run_until(
            self._within_s,
            _ACK,
            keys,
            lease,
            delivered.entry,
            delivered.skip,
            " ".join([f"{id}:{mask:x}" for id, mask in delivered.needed.items()]) if delivered.needed else "",
            delivered.total,
            count,
            size_bytes,
            *gone,
            durable=True,  # otherwise a primary that was cut off accepts any number, and all are repeated
            though_cancelled=True,  # Takaro has the events: if they stay at a stop, they are repeated
        )
        if done < 0:  # Redis was away for longer than the lease: that is no lost lease
            raise StoreError("Redis: the lease ran out and is not renewed yet")
        if not done:
            raise LostLease(f"{self.slug}: another uplink owns this instance now")

    async def bury(self, refusal: str, candidates: Sequence[GameEvent]) -> None:
        """Stores a dead letter for an event that Takaro refused: one of `candidates`, nobody knows which."""
        raw = orjson.dumps(candidates)[:MAX_REFUSED_BYTES]
        dead = "reason", REFUSED_BY_TAKARO, "detail", refusal, "raw", raw
        await self._store.write("XADD", self._keys.dead, "MAXLEN", "~", MAX_DEAD_EVENTS, "*", *dead)


def entries_of(reply: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[StreamEntry]:
    """The entries in a reply of Redis."""
    entries: list[StreamEntry] = []
    for id, fields in reply:
        name, events = id.decode(), fields[1]
        id_ms = int(name.partition("-")[0])
        accepted_ms = int(fields[3]) if len(fields) > 3 else id_ms  # an earlier version wrote no time
        behind = accepted_ms < id_ms - ID_LATER_MS or None
        entries.append(StreamEntry(name, orjson.loads(events), len(events), accepted_ms, behind))
    return entries
