"""The promises of the store on one server, behind Sentinels and on a Cluster."""

import asyncio
import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr

from services.relay.instances.record_store import RecordStore
from services.relay.instances.records import Record
from services.relay.protocol.command_states import new_operation_id
from services.relay.protocol.errors import NotCarriedOut, StoreError, StoreRefused
from services.relay.protocol.keys import INSTANCES, INSTANCES_IDENTITIES, keys_of
from services.relay.protocol.records import Command, GameEvent, Outcome
from services.relay.protocol.vocabulary import HAND_OUT_WITHIN_S, Action
from services.relay.store import event_stream
from services.relay.store.client import CLOCK, Script, Store, resubscribing, until_redis_answers
from services.relay.store.cluster import slot_of
from services.relay.store.command_stream import CommandBounds, CommandStream
from services.relay.store.event_stream import Delivered, EventStream
from services.relay.store.leases import Lease
from services.relay.store.repeats import digest
from services.relay.store.stream_entries import NOT_ASKED, Appended, EventBatch, PostedEvent
from tests.conftest import CALL_TIMEOUT_S
from tests.support.exact_clock import exact
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer, binaries
from tests.support.redis_sets import RedisCluster, SentinelSet
from tests.support.waiting import until, until_connected, until_other_processes

Servers = RedisServer | SentinelSet | RedisCluster

PATIENCE_MS = 10_000
"""A machine that stands still for a moment must bring no failover of its own."""

KINDS: dict[str, Callable[[str], Servers]] = {
    "alone": RedisServer,
    "sentinel": partial(SentinelSet, down_after_ms=PATIENCE_MS),
    "cluster": RedisCluster,
}


@pytest.fixture(
    scope="module", params=[(kind, name) for kind in KINDS for name in ("valkey", "redis")], ids="-".join
)
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    kind, name = request.param
    if name not in binaries():
        pytest.skip("redis-server is not installed: tests/install-packages installs it")
    servers = KINDS[kind](binaries()[name])
    try:
        servers.start()
        if isinstance(servers, RedisCluster):  # not before: its members would meet more slowly
            for member in servers.members:
                member.ask("CONFIG", "SET", "cluster-node-timeout", PATIENCE_MS)
        yield servers
    finally:
        servers.remove()


@pytest.fixture
async def shared(servers: Servers) -> AsyncIterator[Store]:
    async with closing(Store(servers.url, call_timeout_s=CALL_TIMEOUT_S)) as store:
        yield store


@contextlib.asynccontextmanager
async def closing(store: Store) -> AsyncIterator[Store]:
    try:
        yield store
    finally:
        await store.close()


def members(servers: Servers) -> list[RedisServer]:
    return [servers] if isinstance(servers, RedisServer) else servers.members


def script(text: str) -> Script:
    made = Script("of this test")
    made.text = text
    return made


def log_line(slug: str, number: int) -> EventBatch:
    event: GameEvent = {"type": "log", "data": {"msg": str(number)}}  # type: ignore[typeddict-item]
    return EventBatch([PostedEvent(digest(f"{slug}-{number}".encode()), event)])


async def stored(stream: EventStream) -> list[int]:
    return [int(e["data"]["msg"]) for entry in await stream.read("", 100_000) for e in entry.events]  # type: ignore


async def test_calls_of_an_instance_keep_their_order(shared: Store, slug: str) -> None:
    names = [f"relay:{{{slug}-{number}}}:list" for number in range(8)]
    sent = [shared.send("RPUSH", name, number) for number in range(100) for name in names]
    await asyncio.gather(*sent)
    for name in names:
        assert await shared.send("LRANGE", name, 0, -1) == [b"%d" % number for number in range(100)]


async def test_a_script_that_the_server_forgot_is_sent_again_in_order(
    servers: Servers, shared: Store, slug: str
) -> None:
    clock = [f"relay:{{{slug}}}:contact"]
    await shared.run(CLOCK, clock)
    for _ in range(3):
        for member in members(servers):
            member.ask("SCRIPT", "FLUSH")
        told = await asyncio.gather(*(shared.run(CLOCK, clock) for _ in range(5)))
        moments = [(int(seconds), int(us)) for seconds, us in told]
        assert moments == sorted(moments)


async def test_a_permanent_refusal_is_reported_at_once(shared: Store, slug: str) -> None:
    key = f"relay:{{{slug}}}:string"
    await shared.send("SET", key, "text")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        await shared.send("LPUSH", key, "x")
    assert await shared.send("GET", key) == b"text"


async def test_a_call_that_cannot_be_sent_fails_and_those_behind_it_are_answered(
    shared: Store, slug: str
) -> None:
    with pytest.raises(StoreError, match="failed to ask"):
        await shared.send("SET", keys_of(slug).mirror, "\ud800")  # half a character: nothing encodes it
    assert await shared.send("SET", keys_of(slug).mirror, "whole") == b"OK"


async def test_hints_of_commands_and_of_scripts_are_heard(shared: Store, slug: str) -> None:
    async def listen() -> AsyncIterator[tuple[str, list[str]]]:
        heard = shared.hints("relay:wake:test")
        assert await anext(heard) == ("relay:wake:test", [])
        return heard

    key = keys_of(slug).contact
    heard = await until_redis_answers(listen)
    await until_redis_answers(lambda: shared.run(CLOCK, (key,)))  # without a connection, a hint is dropped
    shared.hint("relay:wake:test", slug)
    assert await anext(heard) == ("relay:wake:test", [slug])
    publish = script("return redis.call('PUBLISH', ARGV[1], ARGV[2])")
    await shared.run(publish, (key,), "relay:wake:test", "a b")
    assert await anext(heard) == ("relay:wake:test", ["a", "b"])
    await heard.aclose()  # type: ignore[attr-defined]


async def test_a_durable_call_counts_only_with_its_replicas_also_when_another_repeats_it(
    servers: Servers, slug: str
) -> None:
    once = script("local r = redis.call('GET', KEYS[1]) redis.call('SET', KEYS[1], 'x') return r and 0 or 1")
    keys = (keys_of(slug).lease,)
    async with closing(Store(servers.url)) as one, closing(Store(servers.url)) as other:
        await asyncio.gather(until_connected(one), until_connected(other))
        with without_replicas(servers):
            for store in (one, other):

                async def refusal(store: Store = store) -> str:
                    with pytest.raises(StoreError) as refused:
                        await store.run_until(2.0, once, keys, durable=True)
                    return str(refused.value)

                await until(refusal, met=lambda why: "only 0 of 1 replicas" in why)  # or it took too long
            assert await one.run(once, keys) == 0  # it does not claim to be durable
        assert await one.run_until(30.0, once, keys, durable=True) == 0


async def test_a_write_that_is_found_done_counts_only_with_its_replicas(servers: Servers, slug: str) -> None:
    """The second run of each script that may run twice also leaves a write for WAIT to wait for."""
    record = Record(name="Server one", identity_token=SecretStr("identity-of-it"), created_ms=1)
    batch, early_s = log_line(slug, 1), time.monotonic()

    def calls(store: Store, received_s: float) -> list[Awaitable[object]]:
        stream, records = EventStream(exact(store, slug), slug), RecordStore(store)
        records.within_s = event_stream.CALL_WITHIN_S
        return [
            stream.append(batch, received_s),
            stream.ack("token", Delivered("1-1", 0, {}, 1), 1, 1),
            records.replace("one", b"", record),
        ]

    async with closing(Store(servers.url)) as one, closing(Store(servers.url)) as other:
        await asyncio.gather(until_connected(one), until_connected(other))
        await until_redis_answers(lambda: one.send("DEL", INSTANCES, INSTANCES_IDENTITIES))
        await until_redis_answers(lambda: one.send("HSET", keys_of(slug).lease, "token", "token"))
        with without_replicas(servers):
            for store, received_s in ((one, time.monotonic()), (other, early_s)):

                async def refusals(store: Store = store, received_s: float = received_s) -> list[str]:
                    refused = await asyncio.gather(*calls(store, received_s), return_exceptions=True)
                    assert all(isinstance(error, StoreError) for error in refused)
                    return [str(error) for error in refused]

                few = "Redis: only 0 of 1 replicas have it"
                await until(refusals, met=lambda why, few=few: why == [few] * 3)  # type: ignore[misc]
        found = await asyncio.gather(*calls(other, early_s))
        assert found == [Appended(NOT_ASKED, 1), None, True]


async def test_a_command_whose_hand_out_no_replica_has_is_queued_again(servers: Servers, slug: str) -> None:
    """The poll fails, so nothing is written to the mod: Takaro must not hear that it may have run."""
    async with closing(Store(servers.url, call_timeout_s=CALL_TIMEOUT_S)) as store:
        await until_connected(store)
        commands = CommandStream(store, slug, bounds=CommandBounds(longest_ms=30_000))
        name, deadline_s = new_operation_id(Action.GIVE_ITEM), time.monotonic() + 25.0
        assert await commands.enqueue(Command(name, Action.GIVE_ITEM, {}), deadline_s)
        with without_replicas(servers):
            with pytest.raises(StoreError, match="only 0 of 1 replicas"):
                await commands.take()
            assert not await until_redis_answers(lambda: commands.is_handed(name))
        taken = await until_redis_answers(commands.take)
        assert [command.operation_id for command in taken] == [name]


async def test_a_hand_out_that_no_replica_has_is_taken_back_at_its_own_server_only(
    own: Callable[..., RedisServer], slug: str
) -> None:
    """The new primary, which did not know of it, may have handed the same command to the mod meanwhile."""
    old = own(port=str(free_port()))
    new = own(replicaof=f"127.0.0.1 {old.port}")
    async with contextlib.AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(Proxy("127.0.0.1", old.port))
        url = f"redis://127.0.0.1:{proxy.port}/0"
        cut_off = await stack.enter_async_context(closing(Store(url, replicas=1)))
        store = await stack.enter_async_context(closing(Store(new.url)))
        commands, name = CommandStream(store, slug), new_operation_id(Action.GIVE_ITEM)
        deadline_s = time.monotonic() + HAND_OUT_WITHIN_S
        assert await CommandStream(cut_off, slug).enqueue(Command(name, Action.GIVE_ITEM, {}), deadline_s)
        await until(lambda: new.ask("EXISTS", keys_of(slug).waiting))
        new.ask("REPLICAOF", "NO", "ONE")
        proxy.targets = [(str(new.socket), 0)]  # for the next connection
        assert len(await commands.take()) == 1
        with pytest.raises(StoreError, match="only 0 of 1 replicas"):
            await CommandStream(cut_off, slug).take()
        await cut_off.ping()  # behind all that it sends
        assert await commands.is_handed(name)


def offsets(primary: RedisServer) -> tuple[int, list[int]]:
    """How much it has written, and how much of it each of its replicas has confirmed."""
    told = primary.ask("INFO", "replication")
    return told["master_repl_offset"], [told[f"slave{n}"]["offset"] for n in range(told["connected_slaves"])]


@contextlib.contextmanager
def without_replicas(servers: Servers) -> Iterator[None]:
    """Freezes all replicas after they have confirmed all writes."""
    if isinstance(servers, RedisServer):
        pytest.skip("it has no replicas")
    if isinstance(servers, RedisCluster):
        frozen = [replica for primary in servers.primaries() for replica in servers.replicas_of(primary)]
    else:
        frozen = servers.replicas()
    for primary in servers.primaries() if isinstance(servers, RedisCluster) else [servers.primary()]:
        written, _ = offsets(primary)
        until_other_processes(lambda at=written, of=primary: min(offsets(of)[1]) >= at)  # type: ignore[misc]
    with contextlib.ExitStack() as stopped:
        for replica in frozen:
            stopped.enter_context(replica.stopped())
        yield


def primary_of(servers: SentinelSet | RedisCluster, slot: int) -> RedisServer:
    return servers.primary_of_slot(slot) if isinstance(servers, RedisCluster) else servers.primary()


def kill(servers: SentinelSet | RedisCluster, slot: int) -> None:
    primary_of(servers, slot).kill()


def pause(servers: SentinelSet | RedisCluster, slot: int) -> None:
    primary_of(servers, slot).pause()


def replace_by_hand(servers: SentinelSet | RedisCluster, slot: int) -> None:
    """As an operator does for an upgrade: the primary lives, and the other replica confirms its writes."""
    if isinstance(servers, RedisCluster):
        servers.failover(slot)
    else:
        servers.failover()


@pytest.mark.parametrize(
    ("kind", "name", "fault"),
    [
        ("sentinel", "redis", kill),
        ("sentinel", "valkey", pause),
        ("cluster", "redis", pause),
        ("cluster", "valkey", kill),
        ("sentinel", "redis", replace_by_hand),
        ("sentinel", "valkey", replace_by_hand),
        ("cluster", "redis", replace_by_hand),
    ],
)
async def test_a_failover_loses_nothing_that_was_accepted_and_doubles_nothing(
    kind: str, name: str, fault: Callable[[SentinelSet | RedisCluster, int], None], slug: str
) -> None:
    if name not in binaries():
        pytest.skip("redis-server is not installed: tests/install-packages installs it")
    servers = {"sentinel": SentinelSet, "cluster": RedisCluster}[kind](binaries()[name])
    try:
        await asyncio.to_thread(servers.start)
        async with closing(Store(servers.url)) as store:
            slugs = [f"{slug}-{number}" for number in range(4)]
            slot = slot_of(keys_of(slugs[0]).events)
            accepted: dict[str, list[int]] = {one: [] for one in slugs}
            until_s = time.monotonic() + 6.5

            async def post(one: str) -> None:
                stream, number = EventStream(store, one), 0
                while time.monotonic() < until_s:
                    with contextlib.suppress(StoreError):
                        token = (await stream.append(log_line(one, number))).token
                        stream.notes.answered(token)
                        accepted[one].append(number)
                    number += 1

            posting = asyncio.gather(*map(post, slugs))
            await until(lambda: all(accepted.values()))
            await asyncio.to_thread(fault, servers, slot)
            await posting
            await until_connected(store)
            for one in slugs:
                found = await stored(EventStream(store, one))
                assert found == sorted(set(found)), "doubled, or out of order"
                assert set(accepted[one]) <= set(found), "lost"
            assert time.monotonic() - until_s < 60.0  # no call waits for ever
    finally:
        await asyncio.to_thread(servers.remove)


async def test_a_slot_that_moves_live_is_followed_in_order(servers: Servers, slug: str) -> None:
    if not isinstance(servers, RedisCluster):
        pytest.skip("it has no slots")
    one, other = f"relay:{{{slug}}}:one", f"relay:{{{slug}}}:other"
    push = script("redis.call('RPUSH', KEYS[1], ARGV[1]) return redis.call('RPUSH', KEYS[2], ARGV[1])")
    slot = slot_of(one)
    async with closing(Store(servers.url, call_timeout_s=CALL_TIMEOUT_S)) as store:
        target = next(p for p in servers.primaries() if p is not servers.primary_of(one))
        sent: list[asyncio.Future[int]] = []

        async def write() -> None:
            for number in range(400):
                sent.append(store.run(push, (one, other), number))
                await asyncio.sleep(0.002)

        writing = asyncio.create_task(write())
        await until(lambda: len(sent) > 50)
        await asyncio.to_thread(servers.open_slot, slot, target)
        await until(lambda: len(sent) > 100)
        await asyncio.to_thread(servers.move_keys, slot, target, 1)
        await until(lambda: len(sent) > 150)
        await asyncio.to_thread(servers.move_keys, slot, target)
        await until(lambda: len(sent) > 200)
        await asyncio.to_thread(servers.close_slot, slot, target)
        await writing
        await asyncio.gather(*sent)
        for key in (one, other):
            assert await store.send("LRANGE", key, 0, -1) == [b"%d" % number for number in range(400)]


async def test_a_script_is_sent_whole_to_the_node_that_a_slot_moves_to(servers: Servers, slug: str) -> None:
    """A node that has just joined knows none."""
    if not isinstance(servers, RedisCluster):
        pytest.skip("it has no slots")
    key = f"relay:{{{slug}}}:one"
    target = next(primary for primary in servers.primaries() if primary is not servers.primary_of(key))
    async with closing(Store(servers.url, call_timeout_s=CALL_TIMEOUT_S)) as store:
        await store.run(CLOCK, (key,))
        target.ask("SCRIPT", "FLUSH")
        await asyncio.to_thread(servers.open_slot, slot_of(key), target)
        await asyncio.wait_for(store.run(CLOCK, (key,)), CALL_TIMEOUT_S / 2)
        await asyncio.to_thread(servers.close_slot, slot_of(key), target)


async def test_a_hint_comes_behind_its_command_while_a_slot_moves(servers: Servers, slug: str) -> None:
    """An earlier one may come, too: its reader asks at once and finds nothing."""
    if not isinstance(servers, RedisCluster):
        pytest.skip("it has no slots")
    key = f"relay:{{{slug}}}:one"
    target = next(primary for primary in servers.primaries() if primary is not servers.primary_of(key))
    async with closing(Store(servers.url, call_timeout_s=CALL_TIMEOUT_S)) as store:
        await until_connected(store)
        heard = store.hints("relay:wake:test")
        await anext(heard)
        await asyncio.to_thread(servers.open_slot, slot_of(key), target)
        store.hint("relay:wake:test", slug)
        await store.send("SET", key, "x")  # the new node carries it out, after the old one has refused it
        await asyncio.to_thread(servers.close_slot, slot_of(key), target)
        assert await asyncio.wait_for(anext(heard), 5.0) == ("relay:wake:test", [slug])  # of the refused one
        assert await asyncio.wait_for(anext(heard), 5.0) == ("relay:wake:test", [slug])
        await heard.aclose()  # type: ignore[attr-defined]


async def test_a_hint_goes_with_its_command_to_the_node_that_a_slot_has_moved_to(
    servers: Servers, slug: str
) -> None:
    if not isinstance(servers, RedisCluster):
        pytest.skip("it has no slots")
    key = f"relay:{{{slug}}}:one"
    others = [primary for primary in servers.primaries() if primary is not servers.primary_of(key)]
    async with closing(Store(servers.url, call_timeout_s=CALL_TIMEOUT_S)) as store:
        await until_connected(store)
        heard = store.hints("relay:wake:test")
        await anext(heard)
        # Not the node that we listen at: frozen, it would tell us nothing.
        target = next(node for node in others if not node.ask("PUBSUB", "NUMSUB", "relay:wake:test")[1])
        await asyncio.to_thread(servers.open_slot, slot_of(key), target)
        await asyncio.to_thread(servers.close_slot, slot_of(key), target)
        with target.stopped():
            store.hint("relay:wake:test", slug)
            writing = store.send("SET", key, "x")
            await anext(heard)  # of the call that the old node refused
            behind = asyncio.ensure_future(anext(heard))
            await asyncio.wait([behind], timeout=0.5)
            assert not behind.done()
        await writing
        assert await asyncio.wait_for(behind, 5.0) == ("relay:wake:test", [slug])
        await heard.aclose()  # type: ignore[attr-defined]


async def test_a_call_that_was_given_up_on_the_way_to_another_node_costs_the_others_no_time(
    servers: Servers, slug: str
) -> None:
    """The pipeline waited for the reply to nothing until the time limit."""
    if not isinstance(servers, RedisCluster):
        pytest.skip("it has no slots")
    key = f"relay:{{{slug}}}:one"
    source, slot = servers.primary_of(key), slot_of(key)
    target = next(primary for primary in servers.primaries() if primary is not source)

    def calls(server: RedisServer) -> tuple[int, int]:
        """How many it has carried out, and how many it has sent elsewhere."""
        counted = server.ask("INFO", "commandstats").get("cmdstat_get", {})
        return counted.get("calls", 0), counted.get("rejected_calls", 0)

    for member in servers.members:  # a frozen server does not let anybody in
        member.ask("ACL", "SETUSER", "relay", "on", ">password", "allkeys", "allchannels", "allcommands")
    url = servers.url.replace("://", "://relay:password@")
    async with closing(Store(url, call_timeout_s=CALL_TIMEOUT_S)) as store:
        assert await store.send("GET", key) is None
        await asyncio.to_thread(servers.open_slot, slot, target)
        (_, refused), (carried_out, _) = calls(source), calls(target)
        with target.stopped():
            given_up = store.send("GET", key)
            await until(lambda: asyncio.to_thread(calls, source), met=lambda counted: counted[1] > refused)
            given_up.cancel()
            other = store.send("EXISTS", key)
        await asyncio.wait_for(other, CALL_TIMEOUT_S / 2)
        assert calls(source)[1] == refused + 1 and calls(target)[0] == carried_out
        await asyncio.to_thread(servers.close_slot, slot, target)


@pytest.fixture
def own() -> Iterator[Callable[..., RedisServer]]:
    made: list[RedisServer] = []

    def make(name: str = "valkey", **settings: object) -> RedisServer:
        made.append(RedisServer(binaries()[name], **settings))  # type: ignore[arg-type]
        made[-1].start()
        return made[-1]

    yield make
    for server in made:
        server.remove()


async def test_a_subscriber_notices_a_server_that_stands_still(own: Callable[..., RedisServer]) -> None:
    server = own()
    async with closing(Store(server.url)) as store:
        heard = store.messages("relay:wake:test", probe_every_s=0.2)
        await anext(heard)
        waiting = asyncio.ensure_future(anext(heard))
        await asyncio.sleep(0.7)  # three probes
        assert not waiting.done()  # probes come through and are not passed on
        with server.stopped():
            with pytest.raises(StoreError, match="hints do not come through"):
                await waiting


async def test_a_store_that_closes_ends_each_call_while_redis_is_frozen(
    own: Callable[..., RedisServer],
) -> None:
    server = own()
    async with closing(Store(server.url, call_timeout_s=0.2)) as store:
        await until_connected(store)
        with server.stopped():
            calls = [store.send("INCR", "relay:{one}:count")]
            await asyncio.sleep(0.1)  # it is sent; the next one waits for its reply
            calls.append(store.send("INCR", "relay:{one}:count"))
            await store.close()
            assert all(call.done() for call in calls)
        assert all(isinstance(call.exception(), StoreError) for call in calls)


async def test_settings_that_get_worse_refuse_durable_calls_until_they_are_mended(
    own: Callable[..., RedisServer], slug: str
) -> None:
    server, keys = own(), (keys_of(slug).contact,)
    async with closing(Store(server.url)) as store, closing(Store(server.url, relaxed=True)) as relaxed:
        await store.run(CLOCK, keys, durable=True)
        server.ask("CONFIG", "SET", "appendfsync", "everysec")
        await asyncio.gather(until_redis_answers(store.inspect), until_redis_answers(relaxed.inspect))
        with pytest.raises(StoreRefused, match="CONFIG SET appendfsync always"):
            await store.run(CLOCK, keys, durable=True)
        await store.run(CLOCK, keys)
        await relaxed.run(CLOCK, keys, durable=True)
        assert relaxed.facts.losses() and not relaxed.facts.refusals()
        assert "may lose" in relaxed.facts.described()
        server.ask("CONFIG", "SET", "appendfsync", "always")
        await until_redis_answers(store.inspect)
        await store.run(CLOCK, keys, durable=True)
        assert not store.facts.refusals()


async def test_a_server_that_comes_back_with_worse_settings_is_judged_before_it_is_used(
    own: Callable[..., RedisServer], slug: str
) -> None:
    server = own()
    async with closing(Store(server.url)) as store:
        await store.ping()
        server.kill()
        conf = server.folder / "conf"
        conf.write_text(conf.read_text().replace("appendonly yes", "appendonly no"))
        await asyncio.to_thread(server.start)
        with pytest.raises(StoreRefused, match="write appendonly yes into its configuration file"):
            await store.run(CLOCK, (keys_of(slug).contact,), durable=True)


async def test_a_replica_is_never_taken_for_a_primary(own: Callable[..., RedisServer]) -> None:
    primary = own(port=str(free_port()))
    replica = own(replicaof=f"127.0.0.1 {primary.port}")
    async with closing(Store(replica.url)) as store:
        with pytest.raises(StoreError, match="it is a replica"):
            await store.ping()


async def test_a_server_that_lets_nobody_in_is_reported_with_its_reason(
    own: Callable[..., RedisServer],
) -> None:
    server = own(maxclients="1")
    with socket.socket(socket.AF_UNIX) as only:
        only.connect(str(server.socket))
        only.sendall(b"PING\r\n")
        assert only.recv(16) == b"+PONG\r\n"
        async with closing(Store(server.url)) as store:

            async def reason() -> str:
                with pytest.raises(NotCarriedOut) as failed:
                    await store.ping()
                return str(failed.value)

            # If it closes before it is written to, that error comes first.
            await until(reason, met=lambda said: "max number of clients" in said)


async def test_why_a_cluster_cannot_be_asked_is_reported(own: Callable[..., RedisServer]) -> None:
    server = own(port=str(free_port()), requirepass="hunter2")
    place = f"127.0.0.1:{server.port}"
    async with closing(Store(f"redis+cluster://:hunter2@{place}")) as store:
        with pytest.raises(NotCarriedOut, match="cluster support disabled"):
            await store.ping()
    async with closing(Store(f"redis+cluster://:wrong@{place}")) as store:
        with pytest.raises(StoreRefused, match="refuses the user or password"):
            await store.ping()


async def test_a_sentinel_that_stands_still_is_named(own: Callable[..., RedisServer]) -> None:
    server = own(port=str(free_port()))
    async with closing(Store(f"redis+sentinel://127.0.0.1:{server.port}/relay")) as store:
        with (
            server.stopped(),
            pytest.raises(NotCarriedOut, match=f"127.0.0.1:{server.port}: no answer"),
        ):
            await store.ping()


async def test_a_server_that_is_no_redis_is_reported_as_unreachable() -> None:
    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        async with closing(Store(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")) as store:
            with pytest.raises(NotCarriedOut, match="127.0.0.1"):
                await store.ping()


@pytest.mark.parametrize("name", [r"\255", r"x\011role"])  # no UTF-8, and what Python takes for two lines
async def test_the_name_of_an_error_that_another_user_made_keeps_no_relay_away(
    own: Callable[..., RedisServer], name: str
) -> None:
    server = own()
    with pytest.raises(redis.RedisError):
        server.ask("EVAL", f"return {{err = '{name} failed'}}", 0)  # INFO lists errors by their first word
    async with closing(Store(server.url)) as store:
        await store.ping()


async def test_a_lost_reply_is_not_repeated(own: Callable[..., RedisServer], slug: str) -> None:
    server, key = own(), f"relay:{{{slug}}}:list"
    async with closing(Store(server.url)) as store:
        await store.ping()
        with server.stopped(), pytest.raises(StoreError, match="no answer within"):
            await store.send("RPUSH", key, "x")
        assert await store.send("LRANGE", key, 0, -1) in ([], [b"x"])


LEAST_RIGHTS = (
    "default off",
    "relay on >hunter2 resetkeys ~relay:* resetchannels &relay:* -@all "
    "+@read +@write +@scripting +@pubsub -@dangerous +ping +info +time +wait +config|get",
)


async def test_a_user_with_the_rights_that_the_readme_names_is_enough(
    own: Callable[..., RedisServer], slug: str
) -> None:
    server = own(users=LEAST_RIGHTS)
    url = server.url.replace("unix://", "unix://relay:hunter2@")
    async with closing(Store(url, replicas=0)) as store:
        await store.inspect()
        assert store.facts.servers[0].settings["appendfsync"] == "always"
        stream = EventStream(store, slug)
        await stream.append(log_line(slug, 1))
        assert await stored(stream) == [1]
        heard = store.hints("relay:wake:test")
        assert await anext(heard) == ("relay:wake:test", [])
        await heard.aclose()  # type: ignore[attr-defined]
    async with closing(Store(url.replace("hunter2", "wrong"))) as store:
        with pytest.raises(StoreRefused, match="refuses the user or password") as refused:
            await store.ping()
        assert "wrong" not in str(refused.value).replace("WRONGPASS", "")


@pytest.mark.parametrize("name", ["valkey", "redis"])
async def test_a_user_who_may_not_publish_stores_each_batch_once_and_gets_commands_and_results(
    own: Callable[..., RedisServer], slug: str, name: str
) -> None:
    """Since Redis 7 a new user has no right to any channel. The hints are lost, and nothing else."""
    if name not in binaries():
        pytest.skip("redis-server is not installed: tests/install-packages installs it")
    server = own(name, users=[line.replace(" &relay:*", "") for line in LEAST_RIGHTS])
    url = server.url.replace("unix://", "unix://relay:hunter2@")
    async with closing(Store(url, replicas=0)) as store:
        stream, lease, commands = (
            EventStream(store, slug),
            Lease(store, slug, "up"),
            CommandStream(store, slug),
        )
        await stream.append(log_line(slug, 1))
        assert await stored(stream) == [1]
        asked = new_operation_id(Action.GIVE_ITEM)
        deadline_s = time.monotonic() + HAND_OUT_WITHIN_S
        assert await commands.enqueue(Command(asked, Action.GIVE_ITEM, {}), deadline_s)
        assert len(await commands.take()) == 1
        assert await commands.complete(asked, Outcome(), {})
        assert len(await commands.results("", 10)) == 1
        await lease.renew()
        await lease.release()
        assert not await store.send("EXISTS", keys_of(slug).lease)


async def test_a_subscription_that_is_refused_is_logged_once(
    own: Callable[..., RedisServer], caplog: pytest.LogCaptureFixture
) -> None:
    server = own(users=[line.replace(" &relay:*", "") for line in LEAST_RIGHTS])
    refused = asyncio.Semaphore(0)
    async with closing(Store(server.url.replace("unix://", "unix://relay:hunter2@"))) as store:
        hints = resubscribing(lambda: store.hints("relay:wake:test"), refused.release)
        listening = asyncio.ensure_future(anext(hints))
        await refused.acquire()
        await refused.acquire()
        listening.cancel()
    [said] = [record.getMessage() for record in caplog.records if "hints" in record.getMessage()]
    assert "the user of redis.url lacks a right" in said


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("openssl"):
        pytest.skip("the openssl command makes the certificates of this test: it is not installed")
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = (
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    )
    signs = ("-addext", "keyUsage=critical,keyCertSign")  # Python 3.13 takes no other authority
    openssl(*new, *signs, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority")
    for name in ("server", "client"):
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1")
        plain = ("-addext", "basicConstraints=critical,CA:FALSE")
        openssl(
            *new, *signed, *plain, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}"
        )
    return folder


async def test_tls_checks_the_server_and_shows_a_client_certificate(
    own: Callable[..., RedisServer], certificates: Path, tmp_path: Path
) -> None:
    if "redis" not in binaries():
        pytest.skip("redis-server is not installed: tests/install-packages installs it")
    port = free_port()
    tls = {
        "tls-port": str(port),
        "tls-cert-file": str(certificates / "server.pem"),
        "tls-key-file": str(certificates / "server.key"),
        "tls-ca-cert-file": str(certificates / "ca.pem"),
    }
    own("redis", **tls)  # Valkey of the wheel is built without TLS
    ca = f"ssl_ca_certs={certificates}/ca.pem"
    mine = f"ssl_certfile={certificates}/client.pem&ssl_keyfile={certificates}/client.key"
    async with closing(Store(f"rediss://127.0.0.1:{port}?{ca}&{mine}")) as store:
        await store.ping()
    for wrong in (ca, mine):  # no certificate of ours, and one of theirs that nobody vouches for
        async with closing(Store(f"rediss://127.0.0.1:{port}?{wrong}")) as store:
            with pytest.raises(StoreError):
                await store.ping()
    renewed = tmp_path / "ca.pem"  # each connection reads what is there then
    async with closing(Store(f"rediss://127.0.0.1:{port}?ssl_ca_certs={renewed}&{mine}")) as store:
        for name, trusted in (("ca.pem", True), ("client.pem", False), ("ca.pem", True)):
            renewed.write_bytes((certificates / name).read_bytes())
            with contextlib.nullcontext() if trusted else pytest.raises(StoreError):
                await store.inspect()


async def test_a_store_that_closes_answers_open_calls_and_sends_no_more(servers: Servers) -> None:
    async with closing(Store(servers.url)) as store:
        await until_redis_answers(lambda: store.send("SET", "{closing}:count", 0))
        asked = store.send("INCR", "{closing}:count")
        await store.close()
        assert asked.done() and await asked == 1
        with pytest.raises(StoreError):
            await store.send("INCR", "{closing}:count")
