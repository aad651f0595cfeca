"""The event stream in a real store: batches are accepted, recognised as repeats and acknowledged."""

import asyncio

import pytest

from services.relay.instances.facts import InstanceData, facts_of
from services.relay.protocol.errors import LostLease, StoreError
from services.relay.protocol.keys import keys_of
from services.relay.protocol.records import DeadEvent, GameEvent
from services.relay.store.client import Store
from services.relay.store.event_stream import EventStream
from services.relay.store.leases import Lease
from services.relay.store.repeats import digest
from services.relay.store.stream_entries import Delivered, EventBatch, PostedEvent
from tests.support.redis_server import RedisServer, binaries


def event(n: int) -> GameEvent:
    return {"type": "log", "data": {"msg": f"line {n}"}}


def batch(*numbers: int) -> EventBatch:
    return EventBatch([PostedEvent(digest({"raw": n}), event(n)) for n in numbers])


async def stored(stream: EventStream) -> list[str]:
    return [e["data"]["msg"] for entry in await stream.read("", 100) for e in entry.events]


async def test_batches_are_read_in_the_order_in_which_they_were_accepted(store: Store, slug: str) -> None:
    stream = EventStream(store, slug)
    for numbers in ((1, 2), (3,), (4, 5, 6)):
        stream.notes.answered((await stream.append(batch(*numbers))).token)
    assert await stored(stream) == [f"line {n}" for n in range(1, 7)]


async def test_a_batch_sent_again_after_a_lost_answer_is_stored_once(store: Store, slug: str) -> None:
    stream = EventStream(store, slug)
    await stream.append(batch(1, 2))
    assert (await stream.append(batch(1, 2))).repeated == 2
    assert await stored(stream) == ["line 1", "line 2"]


async def test_newer_events_behind_a_repeated_batch_are_kept(store: Store, slug: str) -> None:
    stream = EventStream(store, slug)
    await stream.append(batch(1, 2))
    assert (await stream.append(batch(1, 2, 3))).repeated == 2
    # ... and the answer to that is lost as well
    assert (await stream.append(batch(1, 2, 3, 4))).repeated == 3
    assert await stored(stream) == ["line 1", "line 2", "line 3", "line 4"]


async def test_a_batch_that_equals_an_answered_one_is_new(store: Store, slug: str) -> None:
    stream = EventStream(store, slug)
    stream.notes.answered((await stream.append(batch(1))).token)
    assert (await stream.append(batch(1))).repeated == 0
    assert await stored(stream) == ["line 1", "line 1"]


async def test_another_batch_after_a_lost_answer_is_not_taken_for_a_repeat(store: Store, slug: str) -> None:
    stream = EventStream(store, slug)
    await stream.append(batch(1, 2))
    assert (await stream.append(batch(1, 3))).repeated == 0
    assert await stored(stream) == ["line 1", "line 2", "line 1", "line 3"]


async def test_dead_events_go_aside_and_their_neighbours_stay(store: Store, slug: str) -> None:
    stream = EventStream(store, slug)
    dead = DeadEvent("no-player", "player is missing", b'{"type":"player-death"}')
    await stream.append(
        EventBatch(
            [PostedEvent(b"aaaa", event(1)), PostedEvent(b"bbbb", dead), PostedEvent(b"cccc", event(2))]
        )
    )
    assert await stored(stream) == ["line 1", "line 2"]
    [(_, fields)] = await store.send("XRANGE", f"relay:{{{slug}}}:dead", "-", "+")
    assert fields[:2] == [b"reason", b"no-player"]


async def test_players_of_a_batch_are_remembered_until_they_are_forgotten(store: Store, slug: str) -> None:
    stream, state = EventStream(store, slug), InstanceData(store, slug)
    await stream.append(EventBatch([PostedEvent(b"aaaa", event(1))], {"76561": b'{"name":"Ada"}'}))
    assert await state.player("76561") == {"name": "Ada"}
    assert await state.players() == {"76561": b'{"name":"Ada"}'}
    assert (await facts_of(store, slug)).contact_ms is not None
    await stream.append(EventBatch([PostedEvent(b"bbbb", event(2))], {"76561": b""}))
    assert await state.player("76561") is None


async def test_a_full_stream_refuses_and_keeps_what_it_has(store: Store, slug: str) -> None:
    stream = EventStream(store, slug, most_events=3)
    assert not (await stream.append(batch(1, 2))).full
    assert (await stream.append(batch(3, 4))).full
    assert not (await stream.append(batch(3))).full
    assert await stored(stream) == ["line 1", "line 2", "line 3"]


async def test_acknowledged_events_are_gone_and_a_half_delivered_batch_goes_on_in_its_middle(
    store: Store, slug: str
) -> None:
    stream, lease = EventStream(store, slug), Lease(store, slug, "up")
    assert (await lease.renew()).mine
    for numbers in ((1, 2), (3, 4, 5)):
        await stream.append(batch(*numbers))
    first, second = await stream.read("", 10)
    await stream.ack(lease.token, Delivered(second.id, 1, {}, 3), 3, first.size_bytes)
    assert [entry.id for entry in await stream.read("", 10)] == [second.id]
    assert await stream.delivered() == Delivered(second.id, 1, {}, 3)
    queued = await facts_of(store, slug)
    assert (queued.events, queued.events_bytes) == (2, second.size_bytes)


async def test_events_delivered_beyond_a_waiting_one_are_known_and_complete_entries_are_deleted(
    store: Store, slug: str
) -> None:
    stream, lease = EventStream(store, slug), Lease(store, slug, "up")
    await lease.renew()
    for numbers in ((1, 2), (3, 4), (5, 6)):
        stream.notes.answered((await stream.append(batch(*numbers))).token)
    first, second, third = await stream.read("", 10)
    ahead = Delivered(first.id, 0, {first.id: 0b01, third.id: 0b10}, 4)
    await stream.ack(lease.token, ahead, 4, second.size_bytes, [second.id])
    assert [entry.id for entry in await stream.read("", 10)] == [first.id, third.id]
    assert await stream.delivered() == ahead
    queued = await facts_of(store, slug)
    assert (queued.events, queued.events_bytes) == (2, first.size_bytes + third.size_bytes)
    await stream.ack(lease.token, Delivered(third.id, 1, {}, 5), 1, first.size_bytes)
    assert await stream.delivered() == Delivered(third.id, 1, {}, 5)


async def test_an_older_version_reads_the_cursor_and_the_rest_is_read_again(store: Store, slug: str) -> None:
    """It reads only the cursor, "<entry> <skip>": all events from there on are in the stream."""
    stream, lease, intake = EventStream(store, slug), Lease(store, slug, "up"), keys_of(slug).intake
    await lease.renew()
    for numbers in ((1, 2, 3), (4, 5, 6)):
        stream.notes.answered((await stream.append(batch(*numbers))).token)
    first, second = await stream.read("", 10)
    await stream.ack(lease.token, Delivered(first.id, 1, {first.id: 0b010, second.id: 0b101}, 3), 3, 0)
    assert (await store.send("HGET", intake, "cursor")).decode() == f"{first.id} 1"
    await store.send("HSET", intake, "cursor", f"{second.id} 1", "events", 2)  # as it acknowledges
    await store.send("XTRIM", keys_of(slug).events, "MINID", second.id)
    delivered = await stream.delivered()
    assert (delivered.entry, delivered.skip, delivered.needed[second.id]) == (second.id, 1, 0b101)
    await stream.ack(lease.token, Delivered(second.id, 3, {}, 4), 1, 0)
    assert await stream.delivered() == Delivered(second.id, 3, {}, 4)


async def test_an_acknowledgement_that_is_repeated_counts_once(store: Store, slug: str) -> None:
    stream, lease = EventStream(store, slug), Lease(store, slug, "up")
    await lease.renew()
    await stream.append(batch(1, 2))
    [entry] = await stream.read("", 10)
    for _ in range(2):
        await stream.ack(lease.token, Delivered(entry.id, 1, {}, 1), 1, 0)
    assert (await facts_of(store, slug)).events == 1


@pytest.mark.parametrize("skips", [(1, 0), (1, 1)])
async def test_an_acknowledgement_that_comes_late_never_goes_back(
    store: Store, slug: str, skips: tuple[int, int]
) -> None:
    """The call was delayed while its repeat and the next call were carried out."""
    stream, lease = EventStream(store, slug), Lease(store, slug, "up")
    await lease.renew()
    for numbers in ((1, 2), (3, 4, 5)):
        stream.notes.answered((await stream.append(batch(*numbers))).token)
    first, second = await stream.read("", 10)
    newest = Delivered(second.id, 2, {}, 4)
    await stream.ack(lease.token, newest, 4, first.size_bytes)
    for total, entry in enumerate((first, second), 1):
        late = Delivered(entry.id, skips[entry is second], {second.id: 0b110}, total)
        await stream.ack(lease.token, late, 1, 0)
    assert await stream.delivered() == newest
    queued = await facts_of(store, slug)
    assert (queued.events, queued.events_bytes) == (1, second.size_bytes)


async def test_counts_after_a_failover_to_a_replica_that_lagged_are_never_negative_and_mend(
    store: Store, slug: str
) -> None:
    """The last acknowledged events are back, or the next acknowledged ones are missing."""
    stream, lease = EventStream(store, slug), Lease(store, slug, "up")
    await lease.renew()
    for numbers in ((1, 2), (3, 4)):
        stream.notes.answered((await stream.append(batch(*numbers))).token)
    first, second = await stream.read("", 10)
    await stream.ack(lease.token, Delivered(second.id, 0, {}, 50), 50, 5_000)
    queued = await facts_of(store, slug)
    assert (queued.events, queued.events_bytes) == (0, 0)
    stream.notes.answered((await stream.append(batch(5, 6))).token)
    last = (await stream.read("", 10))[-1]
    milliseconds, _, number = last.id.partition("-")
    behind = Delivered(f"{milliseconds}-{int(number) + 1}", 0, {}, 51)
    await stream.ack(lease.token, behind, 1, 1)  # more goes than is counted
    queued = await facts_of(store, slug)
    assert (queued.events, queued.events_bytes) == (0, 0)
    assert await stream.read("", 10) == []


async def test_an_uplink_that_lost_the_lease_acknowledges_nothing(store: Store, slug: str) -> None:
    stream, old, new = EventStream(store, slug), Lease(store, slug, "up"), Lease(store, slug, "other")
    await old.renew()
    assert not (await new.renew()).mine
    await old.release()
    assert (await new.renew()).mine
    await stream.append(batch(1))
    [entry] = await stream.read("", 10)
    with pytest.raises(LostLease):
        await stream.ack(old.token, Delivered(entry.id, 1, {}, 1), 1, 0)
    assert await stored(stream) == ["line 1"]


async def test_calls_of_one_turn_travel_together_and_each_gets_its_own_reply(store: Store, slug: str) -> None:
    streams = [EventStream(store, f"{slug}-{n}") for n in range(20)]
    await asyncio.gather(*(stream.append(batch(n)) for n, stream in enumerate(streams)))
    assert [await stored(stream) for stream in streams] == [[f"line {n}"] for n in range(20)]


async def test_scripts_that_the_server_forgot_are_loaded_again(store: Store, slug: str) -> None:
    stream = EventStream(store, slug)
    stream.notes.answered((await stream.append(batch(1))).token)
    await store.send("SCRIPT", "FLUSH")
    await stream.append(batch(2))
    assert await stored(stream) == ["line 1", "line 2"]


@pytest.fixture
async def own_server(slug: str):  # type: ignore[no-untyped-def]
    server = RedisServer(binaries()["valkey"])
    server.start()
    yield server
    server.remove()


async def test_an_append_outlives_a_restart_of_the_server_and_is_stored_once(
    own_server: RedisServer, slug: str
) -> None:
    store = Store(own_server.url)
    stream = EventStream(store, slug, within_s=30.0)  # a busy machine may take long for the restart
    stream.notes.answered((await stream.append(batch(1))).token)
    own_server.kill()
    pending = asyncio.create_task(stream.append(batch(2)))
    await asyncio.to_thread(own_server.start)
    assert not (await pending).full
    assert await stored(stream) == ["line 1", "line 2"]
    await store.close()


async def test_an_append_to_a_server_that_stays_away_says_so(own_server: RedisServer, slug: str) -> None:
    store = Store(own_server.url)
    own_server.kill()
    with pytest.raises(StoreError):
        await EventStream(store, slug, within_s=0.3).append(batch(1))
    await store.close()
