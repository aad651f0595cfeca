"""Events that were accepted and have not passed: those that wait, and those that were put aside."""

import asyncio

from services.relay.event_stream import REFUSED_BY_TAKARO, Batch, EventStream, Slot, digest
from services.relay.instances.accepted import SETTLED_MS, accepted, waiting
from services.relay.records import DeadEvent, GameEvent
from services.relay.store import Store
from services.relay.stream_entries import Delivered, Entry

NOW_MS = 1_700_000_000_000


def line(text: str) -> GameEvent:
    return {"type": "log", "data": {"msg": text}}


def entry(id: str, *texts: str, age_ms: int = 60_000) -> Entry:
    return Entry(id, [line(text) for text in texts], 10, NOW_MS - age_ms)


def test_what_is_not_delivered_waits_the_newest_first() -> None:
    entries = [
        entry("3-0", "d", age_ms=SETTLED_MS - 1),
        entry("2-0", "c", age_ms=SETTLED_MS),
        entry("1-0", "a", "b"),
    ]
    found = waiting(entries, Delivered("1-0", 1), NOW_MS)
    assert [(one.data["msg"], one.fate) for one in found] == [("c", "waiting"), ("b", "waiting")]
    assert found[0].at_ms == NOW_MS - SETTLED_MS


def test_what_was_delivered_ahead_of_others_does_not_wait() -> None:
    entries = [entry("2-0", "d", "e", "f"), entry("1-0", "a", "b", "c")]
    delivered = Delivered("1-0", 1, {"1-0": 0b100, "2-0": 0b001})
    assert [one.data["msg"] for one in waiting(entries, delivered, NOW_MS)] == ["d", "c"]


async def test_a_mod_that_works_is_seen_before_anybody_owns_its_server(store: Store, slug: str) -> None:
    stream = EventStream(store, slug)
    await stream.append(
        Batch(
            [
                Slot(digest(b"1"), line("it waits")),
                Slot(digest(b"2"), DeadEvent("unknown-type", "no such type", b'{"type":"dance"}')),
                Slot(digest(b"3"), DeadEvent("unreadable", "no JSON", b"}{")),
            ]
        )
    )
    await stream.bury("refused", [line("not ours to tell")])
    now_ms = int(await stream.clock_s() * 1000) + SETTLED_MS
    found = {(one.what, one.fate, one.detail) for one in await accepted(store, slug, now_ms)}
    assert found == {
        ("log", "waiting", ""),
        ("dance", "dead", "unknown-type"),
        ("event", "dead", "unreadable"),
    }
    assert REFUSED_BY_TAKARO not in str(found)
    assert await asyncio.wait_for(accepted(store, f"{slug}-empty", now_ms), 5) == []
