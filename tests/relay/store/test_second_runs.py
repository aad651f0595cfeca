"""A script that runs a second time writes again: WAIT needs a write to wait for (run_until in
store/client.py)."""

import time
from collections.abc import Awaitable, Callable

import pytest
from pydantic import SecretStr

from services.relay.instances.record_store import RecordStore
from services.relay.instances.records import Record
from services.relay.protocol.keys import (
    ADMIN_TOKENS,
    CALL_ANSWERS,
    CALL_TIMES,
    INSTANCES,
    INSTANCES_IDENTITIES,
    INSTANCES_VERSION,
    keys_of,
)
from services.relay.store.client import Script, Store
from services.relay.store.event_stream import (
    MAX_DEAD_EVENTS,
    MAX_QUEUED_BYTES,
    MAX_QUEUED_EVENTS,
    Delivered,
    EventStream,
)
from services.relay.store.repeats import NO_BEGINNING, digest
from services.relay.store.stream_entries import NOT_ASKED, Appended, EventBatch, PostedEvent
from tests.support.exact_clock import exact

BATCH = EventBatch([PostedEvent(digest("line"), {"type": "log", "data": {"msg": "line"}})])


async def append(store: Store, slug: str, received_s: float) -> Appended:
    stream = EventStream(exact(store, slug), slug)
    return await stream.append(BATCH, received_s)


async def overtake(store: Store, slug: str) -> bool:
    """Appends a batch, or from the second time on an equal one that the mod sent before that batch."""
    if not await store.send("EXISTS", keys_of(slug).events):
        return bool(await append(store, slug, time.monotonic()))
    return (await append(store, slug, time.monotonic() - 60)).token == NOT_ASKED


async def append_again(store: Store, slug: str) -> bool:
    keys = keys_of(slug)
    stored_in = (keys.events, keys.intake, keys.dead, keys.players, keys.contact)
    posted = ("a-token", "", digest("line"), 0, 0, 1 << 60, b"[{}]", 1)
    most = (MAX_QUEUED_EVENTS, MAX_QUEUED_BYTES, MAX_DEAD_EVENTS)
    reply = await store.run(Script("append"), stored_in, *posted, *most, "0", "", NO_BEGINNING, "", 0)
    return bool(reply[0] == b"accepted")


async def acknowledge(store: Store, slug: str) -> bool:
    await EventStream(store, slug).ack("", Delivered("1-1", 0, {}, 1), 1, 1)
    return True


async def change(store: Store, slug: str) -> bool:
    token = SecretStr(f"identity-of-{slug}")
    return await RecordStore(store).replace(slug, b"", Record(name="One", identity_token=token, created_ms=1))


async def change_to_none(store: Store, slug: str) -> bool:
    return await RecordStore(store).replace(slug, b"", None)


async def put_back(store: Store, slug: str) -> bool:
    keys = (INSTANCES, INSTANCES_IDENTITIES, INSTANCES_VERSION)
    return bool(await store.run(Script("put_back"), keys, "a word", slug, b"{}", f"digest-of-{slug}"))


async def end_call(store: Store, slug: str) -> bool:
    keys = (CALL_ANSWERS, CALL_TIMES)
    await store.send("HSETNX", CALL_ANSWERS, slug, "a claim")
    done = await store.run(Script("end_call"), keys, slug, "a claim", "an answer")
    return bool(done) and await store.send("HGET", CALL_ANSWERS, slug) == b"an answer"


async def forget_call(store: Store, slug: str) -> bool:
    await store.run(Script("end_call"), (CALL_ANSWERS, CALL_TIMES), slug, "a claim", "")
    return not await store.send("HEXISTS", CALL_ANSWERS, slug)


async def delete_token(store: Store, slug: str) -> bool:
    await store.run(Script("delete_token"), (ADMIN_TOKENS,), slug)
    return not await store.send("HEXISTS", ADMIN_TOKENS, slug)


async def written(store: Store) -> int:
    """The number of bytes that were written to the file, and sent to replicas."""
    told = (await store.send("INFO", "persistence")).decode()
    return int(told.partition("aof_current_size:")[2].split()[0])


@pytest.mark.parametrize(
    "call",
    [
        overtake,
        append_again,
        acknowledge,
        change,
        change_to_none,
        put_back,
        end_call,
        forget_call,
        delete_token,
    ],
    ids=lambda call: call.__name__,
)
async def test_a_call_that_finds_its_work_done_writes_something(
    store: Store, slug: str, call: Callable[[Store, str], Awaitable[bool]]
) -> None:
    await store.send("DEL", INSTANCES_VERSION)
    await store.send("HSET", keys_of(slug).lease, "token", "")
    assert await call(store, slug)
    before = await written(store)
    assert await call(store, slug) and await written(store) > before
