"""Redis at its maxmemory refuses new events. Leases, results and everything that frees memory still work."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest
from prometheus_client import CollectorRegistry

from services.relay.instances.activity import watch
from services.relay.instances.facts import InstanceData, LinkInfo
from services.relay.instances.history import LinkedTime
from services.relay.protocol.command_states import new_operation_id
from services.relay.protocol.errors import NotCarriedOut, StoreError
from services.relay.protocol.keys import keys_of
from services.relay.protocol.records import Command, Outcome
from services.relay.protocol.vocabulary import HAND_OUT_WITHIN_S, Action
from services.relay.store.client import Script, Store
from services.relay.store.command_stream import CommandStream
from services.relay.store.event_stream import EventStream
from services.relay.store.leases import Lease
from services.relay.store.repeats import digest
from services.relay.store.stream_entries import Delivered, EventBatch, PostedEvent
from services.uplink.ownership.heartbeat import Heartbeat
from services.uplink.ownership.members import BEAT_EVERY_S, Members
from services.uplink.reporting.metrics import UplinkMetrics
from tests.support.redis_server import RedisServer, binaries
from tests.support.waiting import until

FULL = "4mb"
"""Far below what is stored when the memory is full: Redis refuses even small batches till most is gone."""


@pytest.fixture(params=["valkey", "redis"])
def small_server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    binary = binaries().get(request.param)
    if binary is None:
        pytest.skip("redis-server is not installed: tests/install-packages installs it")
    server = RedisServer(binary, maxmemory="8mb")
    server.start()
    yield server
    server.remove()


@pytest.fixture
async def small_store(small_server: RedisServer) -> AsyncIterator[Store]:
    store = Store(small_server.url)
    yield store
    await store.close()


def batch(text: str) -> EventBatch:
    return EventBatch([PostedEvent(digest(text), {"type": "log", "data": {"msg": text}})])


async def fill(stream: EventStream, store: Store) -> int:
    """Appends batches until Redis refuses one. Returns how many it took.

    Repeats a batch that a slow machine has not stored in time, as a mod does.
    """
    number = 0
    async with asyncio.timeout(60):
        while True:
            try:
                appended = await stream.append(batch(f"{number} " + "x" * 50_000))
            except StoreError as error:
                if "maxmemory" in str(error):
                    break
                continue
            stream.notes.answered(appended.token)
            number += 1
    await store.send("CONFIG", "SET", "maxmemory", FULL)
    return number


async def deliver(store: Store, slug: str, token: str) -> int:
    """Reads from the head and acknowledges, as uplink does. Returns the number of entries."""
    stream, taken = EventStream(store, slug), 0
    while entries := await stream.read("", 20):
        last = entries[-1]
        milliseconds, _, number = last.id.partition("-")
        count, size_bytes = sum(len(e.events) for e in entries), sum(e.size_bytes for e in entries)
        total = (await stream.delivered()).total + count
        behind = Delivered(f"{milliseconds}-{int(number) + 1}", 0, {}, total)
        await stream.ack(token, behind, count, size_bytes)
        taken += len(entries)
    return taken


async def test_a_full_memory_refuses_events_and_drains_by_itself(small_store: Store, slug: str) -> None:
    stream, lease = EventStream(small_store, slug, within_s=0.2), Lease(small_store, slug, "up")
    commands = CommandStream(small_store, slug)
    handed, waiting = new_operation_id(Action.GET_PLAYERS), new_operation_id(Action.GET_PLAYERS)
    count = await fill(stream, small_store)
    assert count > 20
    await small_store.send("CONFIG", "SET", "maxmemory", "0")
    by_s = asyncio.get_running_loop().time() + HAND_OUT_WITHIN_S
    await commands.enqueue(Command(handed, Action.GET_PLAYERS, {}), by_s)
    await small_store.send("CONFIG", "SET", "maxmemory", FULL)

    assert (await lease.renew()).mine and (await lease.renew()).mine
    [command] = await commands.take()
    assert command.operation_id == handed
    assert await commands.complete(handed, Outcome([]), {"7656": b'{"name":"Ada"}'})
    assert len(await commands.results("", 10)) == 1
    assert await commands.give_up(waiting) is None
    save, keys = Script("save_mirror"), keys_of(slug)
    assert await small_store.run(save, (keys.lease, keys.mirror, keys.catalogues), lease.token, 2, "a", "b")
    await stream.bury("player: must be an object", [{"type": "log", "data": {"msg": "bad"}}])
    with pytest.raises(StoreError):
        await stream.append(batch("x" * 50_000))

    assert await deliver(small_store, slug, lease.token) == count
    assert await small_store.send("XLEN", keys.dead) == 1
    appended = await EventStream(small_store, slug).append(batch("again"))
    assert not appended.full
    await lease.release()


async def test_an_uplink_that_starts_while_the_memory_is_full_and_the_others_see_each_other(
    small_store: Store, slug: str
) -> None:
    first, second = (
        Heartbeat(small_store, UplinkMetrics(CollectorRegistry()), Members(name), BEAT_EVERY_S)
        for name in "ab"
    )
    await first.beat()
    await fill(EventStream(small_store, slug, within_s=0.2), small_store)
    await second.beat()
    await first.beat()
    assert first.members.alive == second.members.alive == {"a", "b"}


async def test_a_command_is_not_half_queued_while_the_memory_is_full(small_store: Store, slug: str) -> None:
    commands = CommandStream(small_store, slug)
    await fill(EventStream(small_store, slug, within_s=0.2), small_store)
    name = new_operation_id(Action.GIVE_ITEM)
    with pytest.raises(NotCarriedOut, match="Redis is full"):
        await commands.enqueue(Command(name, Action.GIVE_ITEM, {}), asyncio.get_running_loop().time() + 2.0)
    assert await commands.take() == []
    assert await small_store.send("EXISTS", keys_of(slug).waiting, keys_of(slug).writes) == 0


async def test_the_answer_of_the_last_batch_before_the_memory_is_full_is_noted(
    small_store: Store, slug: str
) -> None:
    """Otherwise an equal honest batch, the first one when there is room again, would count as a repeat."""
    stream, lease = EventStream(small_store, slug, within_s=0.2), Lease(small_store, slug, "up")
    await lease.renew()
    count = await fill(stream, small_store)
    await stream.notes.write()
    last = batch(f"{count - 1} " + "x" * 50_000)
    await deliver(small_store, slug, lease.token)
    assert (await EventStream(small_store, slug).append(last)).repeated == 0
    await lease.release()


async def test_what_people_are_shown_stays_true_while_the_memory_is_full(
    small_store: Store, slug: str
) -> None:
    """The state of the link, the live activity, and the chart of the last 24 hours."""
    await fill(EventStream(small_store, slug, within_s=0.2), small_store)
    data, keys = InstanceData(small_store, slug), keys_of(slug)
    await data.write_link(LinkInfo("ready", "the-id"))
    assert await data.link() == LinkInfo("ready", "the-id")
    linked = LinkedTime(small_store, slug)
    for now_ms in (1_800_000_000, 1_800_002_000):
        linked.count_until(now_ms, linked=True)
    linked.write()
    assert await small_store.send("HVALS", keys.linked) == [b"2"]
    async with contextlib.aclosing(watch(small_store, slug)) as watching:
        assert await anext(watching) == []
        await until(lambda: small_store.send("EXISTS", keys.watched))
