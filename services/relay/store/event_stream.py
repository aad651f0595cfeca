"""The stream of game events of one instance: modapi appends batches, uplink reads and takes them off.

Order is kept, nothing is ever trimmed to make room: a full stream refuses, and the mod keeps its events.
"""

import asyncio
import itertools
import math
import secrets
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import orjson

from services.relay.protocol.errors import LostLease, StoreError
from services.relay.protocol.keys import WAKE_EVENTS, keys_of
from services.relay.protocol.records import DeadEvent, GameEvent
from services.relay.protocol.vocabulary import EventType
from services.relay.service.clocks import next_beat_s
from services.relay.store.client import CLOCK, Script, Store
from services.relay.store.clock import StoreClock
from services.relay.store.stream_entries import Delivered, StreamEntry

MAX_QUEUED_EVENTS = 100_000
MAX_QUEUED_BYTES = 64 * 1024 * 1024
MAX_DEAD_EVENTS = 1_000
MAX_REFUSED_BYTES = 16 * 1024
REFUSED_BY_TAKARO = "refused-by-takaro"
"""The reason of a dead letter that uplink wrote; all others are modapi's (dialect/dead.py)."""

CONTACT_EVERY_MS = 5_000
NOTE_AFTER_S = 0.05
"""So long it waits to go along with the next batch, and up to as long again for those of other instances. An
honest twin that comes sooner, and to another process, would be taken for a repeat. A mod flushes each second
(protocol.md M1)."""

CALL_WITHIN_S = 2.5
"""A mod's POST is answered well under 3 s, with a 503 if need be (protocol.md M6)."""

_APPEND = Script("append")
_ACK = Script("ack", drains=True)
_NOTE = Script("note")
_BURY = Script("bury")


@dataclass(frozen=True, slots=True)
class EventBatch:
    """What is made of one POST of the mod's.

    `slots` has one entry for each event as the mod sent it, in order: it is what a repeat is recognised by
    and cut off by. `digest` is over the mod's bytes of it, `became` what it was turned into; None: left out.
    """

    slots: Sequence["Slot"]
    players: Mapping[str, bytes] = field(default_factory=dict)


class Slot(NamedTuple):  # made for each event: a dataclass would cost three times as much
    digest: bytes
    became: GameEvent | DeadEvent | None


NOT_ASKED = "-"


@dataclass(frozen=True, slots=True)
class Appended:
    """`token` names the batch that the answer is for; `repeated` events at its head were stored before.

    An empty token: the stream is full. NOT_ASKED: all of it is stored, but the mod asked again since.
    """

    token: str
    repeated: int = 0

    @property
    def full(self) -> bool:
        return not self.token


def digest(raw: Any) -> bytes:
    """Four bytes that tell one event of a mod from the next."""
    data = raw if isinstance(raw, bytes) else orjson.dumps(raw)
    return zlib.crc32(data).to_bytes(4, "big")


NEVER = 1_000_000


def _telling(slots: Sequence[Slot]) -> int:
    """How many events at the head have two different ones among them, and one that is no log line.

    No honest batch begins with the same ones as the batch before it. Single events, several kills of one kind
    and log lines do come again.
    """
    differ = next((n for n, slot in enumerate(slots, 1) if slot.digest != slots[0].digest), NEVER)
    no_log = next((n for n, slot in enumerate(slots, 1) if _is_no_log_line(slot.became)), NEVER)
    return max(differ, no_log)


def _is_no_log_line(fate: GameEvent | DeadEvent | None) -> bool:
    return type(fate) is dict and fate["type"] != EventType.LOG.value


@dataclass(frozen=True, slots=True)
class _Post:
    token: str
    batch: EventBatch
    received_us: int  # both on Redis' clock
    deadline_us: int


class EventStream:
    """The event stream of the instance `slug`.

    `sender` names who appends, if not the mod: what it repeats is recognised among its own batches, and that
    it is there does not mean that the mod is.
    """

    def __init__(self, store: Store, slug: str, sender: str = "") -> None:
        self.slug = slug
        self._store = store
        self._sender = f"{sender}:" if sender else ""
        keys = self._keys = keys_of(slug)
        self._append_keys = (keys.events, keys.intake, keys.dead, keys.players, keys.contact)
        self._token_base = secrets.token_hex(8)
        self._numbers = itertools.count()
        self._clock = StoreClock()
        self._fates: dict[str, str] = {}  # what is to be noted, by field
        self._noting: asyncio.TimerHandle | None = None
        self._heard_s = -math.inf

    async def append(self, batch: EventBatch, received_s: float | None = None) -> Appended:
        """Stores a batch that came at `received_s` (on time.monotonic(); now, if not given).

        Raises StoreError when that could not be had within CALL_WITHIN_S: then it may be stored all the same,
        but only within that time.
        """
        now_s = time.monotonic()
        if not self._clock.known:
            self._clock.told(int(await self.clock_s() * 1_000_000), now_s)
        posted = _Post(
            f"{self._token_base}-{next(self._numbers):08x}",
            batch,
            self._clock.at_us(now_s if received_s is None else received_s),
            self._clock.at_us(now_s + CALL_WITHIN_S),
        )
        cut = 0
        while True:
            asked_s = time.monotonic()
            left_s = now_s + CALL_WITHIN_S - asked_s
            word, told_us, slot, repeated = await self._append(posted, cut, left_s)
            self._clock.told(told_us, asked_s)
            if word == b"late":
                raise StoreError("Redis: it answered too late, or its clock was set")
            if word == b"full":
                return Appended("", cut)
            if word == b"overtaken":
                return Appended(NOT_ASKED, repeated)
            if word == b"accepted":
                return Appended(f"{slot} {posted.token}", repeated)
            cut = repeated

    async def _append(self, posted: "_Post", cut: int, within_s: float) -> list[Any]:
        slots = posted.batch.slots
        fates = [slot.became for slot in slots[cut:]]
        events = [fate for fate in fates if fate and not isinstance(fate, DeadEvent)]
        dead = [fate for fate in fates if isinstance(fate, DeadEvent)]
        self._store.hint(WAKE_EVENTS, self.slug)
        reply: list[Any] = await self._store.run_until(
            within_s,
            _APPEND,
            self._append_keys,
            posted.token,
            " ".join([fate for fate in self._fates.values() if fate[0] != "!"]),
            b"".join([slot.digest for slot in slots]),
            cut,
            posted.received_us,
            posted.deadline_us,
            orjson.dumps(events) if events else b"",
            len(events),
            MAX_QUEUED_EVENTS,
            MAX_QUEUED_BYTES,
            MAX_DEAD_EVENTS,
            self._heard(),
            self._sender,
            _telling(slots),
            3 * len(dead),
            *[part for letter in dead for part in (letter.reason, letter.detail, letter.raw)],
            *[part for pair in posted.batch.players.items() for part in pair],
            durable=True,
        )
        return reply

    def _heard(self) -> str:
        """The time of contact is noted now and then only: it is one more thing to sync to disk."""
        now_s = time.monotonic()
        if self._sender or now_s - self._heard_s < CONTACT_EVERY_MS / 1000:
            return "0"
        self._heard_s = now_s
        return "1"

    def answered(self, token: str) -> None:
        """Notes that the mod has its answer for that batch: what comes next is new, even if it looks alike.

        The note goes with this process's next batch, and a moment later by itself, for other processes.
        Should it be lost, the worst is that an honest twin of the batch, as the next one, is dropped. A batch
        that no honest one looks like (_telling) is taken for a repeat for half a minute all the same.
        """
        self._fate(token, "")

    def unanswered(self, token: str) -> None:
        """Notes that the mod had hung up: it will send that batch again, even if others come first."""
        self._fate(token, "!")

    def _fate(self, token: str, mark: str) -> None:
        slot, _, name = token.partition(" ")
        if not name:
            return  # NOT_ASKED
        self._fates[f"{self._sender}f{slot}"] = mark + name
        if self._noting is None:
            loop = asyncio.get_running_loop()
            self._noting = loop.call_at(next_beat_s(loop.time() + NOTE_AFTER_S, NOTE_AFTER_S), self._note)

    def _note(self) -> None:
        self._noting = None
        fates, self._fates = self._fates, {}
        note = self._store.run(
            _NOTE, (self._keys.intake,), *[part for pair in fates.items() for part in pair]
        )
        note.add_done_callback(partial(self._noted, fates))

    def _noted(self, fates: dict[str, str], reply: asyncio.Future[Any]) -> None:
        if reply.cancelled() or reply.exception():
            self._fates = fates | self._fates  # to go with the next batch

    async def read(self, after: str, count: int) -> list[StreamEntry]:
        """Up to `count` entries after the entry id `after` ("" for the start), oldest first."""
        start = f"({after}" if after else "-"
        return _entries(await self._store.send("XRANGE", self._keys.events, start, "+", "COUNT", count))

    async def newest(self, count: int) -> list[StreamEntry]:
        """Up to `count` entries, the newest first."""
        return _entries(await self._store.send("XREVRANGE", self._keys.events, "+", "-", "COUNT", count))

    async def clock_s(self) -> float:
        """Redis' clock, by which entries are accepted."""
        seconds, microseconds = await self._store.run(CLOCK, (self._keys.contact,))
        return int(seconds) + int(microseconds) / 1_000_000

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
        """Takes off the entries before `delivered.entry` and those of `gone`: `count` events since the last
        call, and entries of `size_bytes`. Raises LostLease, StoreError."""
        keys = (self._keys.lease, self._keys.events, self._keys.intake)
        done = await self._store.run_until(
            CALL_WITHIN_S,
            _ACK,
            keys,
            lease,
            delivered.entry,
            delivered.skip,
            " ".join([f"{id}:{mask:x}" for id, mask in delivered.needed.items()]),
            delivered.total,
            count,
            size_bytes,
            *gone,
            durable=True,  # else a primary that was cut off takes any number, and all are repeated
            though_cancelled=True,  # Takaro has them: left behind at a stop, they would be repeated
        )
        if done < 0:  # Redis was away for longer than the lease: that is no lost lease
            raise StoreError("Redis: the lease ran out and is not renewed yet")
        if not done:
            raise LostLease(f"{self.slug}: another uplink owns this instance now")

    async def bury(self, refusal: str, candidates: Sequence[GameEvent]) -> None:
        """Keeps a record of an event that Takaro refused: one of `candidates`, it does not say which."""
        raw = orjson.dumps(candidates)[:MAX_REFUSED_BYTES]
        await self._store.run(_BURY, (self._keys.dead,), MAX_DEAD_EVENTS, REFUSED_BY_TAKARO, refusal, raw)


def _entries(found: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[StreamEntry]:
    return [
        StreamEntry(
            name := id.decode(),
            orjson.loads(fields[1]),
            len(fields[1]),
            # Not there in what an earlier version wrote.
            int(fields[3] if len(fields) > 3 else name.partition("-")[0]),
        )
        for id, fields in found
    ]
