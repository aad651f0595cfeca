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
from typing import Any, NamedTuple

import orjson

from services.relay.errors import LostLease
from services.relay.keys import WAKE_EVENTS, keys_of
from services.relay.records import DeadEvent, GameEvent
from services.relay.store import Script, Store

MAX_QUEUED_EVENTS = 100_000
MAX_QUEUED_BYTES = 64 * 1024 * 1024
MAX_DEAD_EVENTS = 1_000
MAX_REFUSED_BYTES = 16 * 1024
CONTACT_EVERY_MS = 5_000
NOTE_AFTER_S = 0.3
CALL_WITHIN_S = 2.5
"""A mod's POST is answered well under 3 s, with a 503 if need be (contract.md A2)."""

_APPEND = Script("append")
_ACK = Script("ack")


@dataclass(frozen=True, slots=True)
class Batch:
    """What is made of one POST of the mod's.

    `slots` has one entry for each event as the mod sent it, in order: it is what a repeat is recognised by
    and cut off by. `digest` is over the mod's bytes of it, `became` what it was turned into.
    """

    slots: Sequence["Slot"]
    players: Mapping[str, bytes] = field(default_factory=dict)


class Slot(NamedTuple):  # made for each event: a dataclass would cost three times as much
    digest: bytes
    became: GameEvent | DeadEvent


@dataclass(frozen=True, slots=True)
class Appended:
    """`token` names the stored batch; `repeated` events at its head were stored before. Empty token: full."""

    token: str
    repeated: int = 0

    @property
    def full(self) -> bool:
        return not self.token


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored batch. `id` is "<ms>-<n>", the ms being Redis' clock at the time it was accepted."""

    id: str
    events: list[GameEvent]
    size_bytes: int

    @property
    def accepted_s(self) -> float:
        """When it was accepted, in seconds on Redis' clock."""
        return int(self.id.partition("-")[0]) / 1000


def digest(raw: Any) -> bytes:
    """Four bytes that tell one event of a mod from the next."""
    data = raw if isinstance(raw, bytes) else orjson.dumps(raw)
    return zlib.crc32(data).to_bytes(4, "big")


class EventStream:
    """The event stream of the instance `slug`."""

    def __init__(self, store: Store, slug: str) -> None:
        self._store = store
        self._slug = slug
        keys = self._keys = keys_of(slug)
        self._append_keys = (keys.events, keys.intake, keys.dead, keys.players, keys.contact)
        self._token_base = secrets.token_hex(8)
        self._numbers = itertools.count()
        self._answered = ""
        self._noting: asyncio.TimerHandle | None = None
        self._heard_s = -math.inf

    async def append(self, batch: Batch) -> Appended:
        """Stores a batch. Raises StoreError when that could not be had within CALL_WITHIN_S."""
        token = f"{self._token_base}-{next(self._numbers)}"
        reply = await self._append(token, batch)
        repeated = 0
        if reply[0] == b"repeat":
            repeated = int(reply[1])
            if repeated == len(batch.slots):
                return Appended(reply[2].decode(), repeated)
            reply = await self._append(token, batch, repeated)
        return Appended(token if reply[0] == b"accepted" else "", repeated)

    async def _append(self, token: str, batch: Batch, repeated: int | None = None) -> list[Any]:
        fates = [slot.became for slot in batch.slots[repeated or 0 :]]
        events = [fate for fate in fates if not isinstance(fate, DeadEvent)]
        dead = [fate for fate in fates if isinstance(fate, DeadEvent)]
        self._store.hint(WAKE_EVENTS, self._slug)
        reply: list[Any] = await self._store.run_until(
            CALL_WITHIN_S,
            _APPEND,
            self._append_keys,
            token,
            self._answered,
            b"".join([slot.digest for slot in batch.slots]),
            "0" if repeated is None else "1",
            orjson.dumps(events) if events else b"",
            len(events),
            MAX_QUEUED_EVENTS,
            MAX_QUEUED_BYTES,
            MAX_DEAD_EVENTS,
            self._heard(),
            3 * len(dead),
            *[part for letter in dead for part in (letter.reason, letter.detail, letter.raw)],
            *[part for pair in batch.players.items() for part in pair],
        )
        return reply

    def _heard(self) -> str:
        """The time of contact is noted now and then only: it is one more thing to sync to disk."""
        now_s = time.monotonic()
        if now_s - self._heard_s < CONTACT_EVERY_MS / 1000:
            return "0"
        self._heard_s = now_s
        return "1"

    def answered(self, token: str) -> None:
        """Notes that the mod has its answer for that batch: what comes next is new, even if it looks alike.

        The note goes with this process's next batch, or a little later by itself, for other processes to see.
        Should it be lost, the worst is that an honest twin of the batch is dropped.
        """
        self._answered = token
        if self._noting is None:
            self._noting = asyncio.get_running_loop().call_later(NOTE_AFTER_S, self._note)

    def _note(self) -> None:
        self._noting = None
        self._store.tell("HSET", self._keys.intake, "answered", self._answered)

    async def read(self, after: str, count: int) -> list[Entry]:
        """Up to `count` entries after the entry id `after` ("" for the start), oldest first."""
        start = f"({after}" if after else "-"
        found = await self._store.send("XRANGE", self._keys.events, start, "+", "COUNT", count)
        return [Entry(id.decode(), orjson.loads(fields[1]), len(fields[1])) for id, fields in found]

    async def clock_s(self) -> float:
        """Redis' clock, by which entries are accepted."""
        seconds, microseconds = await self._store.send("TIME")
        return int(seconds) + int(microseconds) / 1_000_000

    async def cursor(self) -> tuple[str, int]:
        """How far delivery has come: the oldest entry needed, and how many of its events are delivered."""
        stored = await self._store.send("HGET", self._keys.intake, "cursor")
        if not stored:
            return "", 0
        entry, skip = stored.decode().split(" ")
        return entry, int(skip)

    async def ack(self, lease: str, entry: str, skip: int, count: int, size_bytes: int) -> None:
        """Takes off what lies before event `skip` of `entry`. Raises LostLease, StoreError."""
        keys = (self._keys.lease, self._keys.events, self._keys.intake)
        if not await self._store.run_until(CALL_WITHIN_S, _ACK, keys, lease, entry, skip, count, size_bytes):
            raise LostLease(f"{self._slug}: another uplink owns this instance now")

    async def bury(self, refusal: str, candidates: Sequence[GameEvent]) -> None:
        """Keeps a record of an event that Takaro refused: one of `candidates`, it does not say which."""
        raw = orjson.dumps(candidates)[:MAX_REFUSED_BYTES]
        await self._store.send(
            "XADD", self._keys.dead, "MAXLEN", "~", MAX_DEAD_EVENTS, "*",
            "reason", "refused-by-takaro", "detail", refusal, "raw", raw,
        )  # fmt: skip
