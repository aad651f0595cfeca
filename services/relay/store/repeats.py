"""How a repeated batch is recognised: by digests of its events, and by notes about answers to earlier ones.

The script append.lua does it (ARCHITECTURE.md, "Repeated batches").
"""

import asyncio
import zlib
from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import Any

import orjson

from services.relay.protocol.vocabulary import EventType
from services.relay.service.arrivals import ALIVE_EVERY_S
from services.relay.service.clocks import next_shared_s
from services.relay.store.client import Store
from services.relay.store.stream_entries import PostedEvent

HUNG_UP = "!"  # prefix of the note about a batch whose answer has not arrived

NO_BEGINNING = 1_000_000

NOTE_AFTER_S = ALIVE_EVERY_S
"""A note waits this long for the next batch, and up to as long again for the notes of other instances. An
honest equal batch that comes sooner, to another process, counts as a repeat. A mod flushes each second
(protocol.md M1)."""


def digest(raw: Any) -> bytes:
    """Four bytes that differ from one event of a mod to the next."""
    data = raw if isinstance(raw, bytes) else orjson.dumps(raw)
    return zlib.crc32(data).to_bytes(4, "big")


def shortest_distinctive(posted: Sequence[PostedEvent]) -> int:
    """The length of the shortest beginning that has two different events, and one that is no log line.

    No honest batch begins like that with the events of the batch before. Single events, several kills of one
    kind, and log lines do come again.
    """
    differ = no_log = False
    for number, event in enumerate(posted, 1):
        differ = differ or event.digest != posted[0].digest
        no_log = no_log or (type(event.became) is dict and event.became["type"] != EventType.LOG.value)
        if differ and no_log:
            return number
    return NO_BEGINNING


class AnswerNotes:
    """Whether the answers to the batches of one sender arrived, as far as it is not written to `key` yet."""

    def __init__(self, store: Store, key: str, sender: str) -> None:
        self._store = store
        self._key = key
        self._sender = sender
        self._notes: dict[str, str] = {}  # by field
        self._noting: asyncio.TimerHandle | None = None

    def arrived(self) -> str:
        """The notes of answers that arrived, to go with the next batch."""
        return " ".join([note for note in self._notes.values() if note[0] != HUNG_UP])

    def answered(self, token: str, *, arrived: bool = True) -> None:
        """Notes that the mod has its answer for that batch: what comes next is new, even if it looks alike.

        If the answer has not `arrived`, because the mod had hung up, it will send that batch again, even if
        others come first. The note goes with this process's next batch, and a moment later by itself, for
        other processes. If it is lost, the worst is that an equal honest batch right behind it is dropped.
        """
        place, _, name = token.partition(" ")
        if not name:
            return  # NOT_ASKED
        self._notes[f"{self._sender}f{place}"] = name if arrived else HUNG_UP + name
        if self._noting is None:
            loop = self._store.loop
            self._noting = loop.call_at(next_shared_s(loop.time() + NOTE_AFTER_S, NOTE_AFTER_S), self._note)

    async def write(self) -> None:
        """Writes the notes that wait now. Returns when Redis has answered."""
        if self._noting:
            self._noting.cancel()
        if self._notes:
            await asyncio.wait([self._note()])

    def _note(self) -> asyncio.Future[Any]:
        self._noting = None
        notes, self._notes = self._notes, {}
        note = self._store.write("HSET", self._key, *chain.from_iterable(notes.items()))
        note.add_done_callback(partial(self._noted, notes))
        return note

    def _noted(self, notes: dict[str, str], reply: asyncio.Future[Any]) -> None:
        if reply.cancelled() or reply.exception():
            self._notes = notes | self._notes  # to go with the next batch
