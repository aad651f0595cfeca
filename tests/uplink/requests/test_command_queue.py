"""Results reach the uplink that queued the command, even while two uplinks queue for one instance."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from services.relay.protocol.command_states import CommandState, new_operation_id
from services.relay.protocol.ends import CommandEnd
from services.relay.protocol.errors import StoreError
from services.relay.protocol.keys import keys_of
from services.relay.protocol.records import Command, Outcome
from services.relay.protocol.vocabulary import Action
from services.relay.service.arrivals import Stalls
from services.relay.service.clocks import boottime_s
from services.relay.service.lifecycle import cancelled
from services.relay.store.client import Store
from services.relay.store.command_stream import KEYS_EXPIRE_MS, CommandStream
from services.relay.store.leases import Lease
from services.uplink.connection.closing_times import closing_times
from services.uplink.reporting.metrics import UplinkMetrics
from services.uplink.requests.command_queue import CommandQueue
from services.uplink.requests.mod_contact import ModContact
from services.uplink.requests.results import CommandTimes, ResultReader
from services.uplink.takaro import failures
from services.uplink.takaro.failures import CommandFailure
from tests.support.redis_server import RedisServer, binaries
from tests.support.waiting import until


class WatchedStream(CommandStream):
    """Counts the reads: all, and those that found results."""

    all_reads = 0
    reads = 0

    async def results(self, after: str, count: int) -> list[tuple[str, str, Outcome]]:
        self.all_reads += 1
        found = await super().results(after, count)
        self.reads += bool(found)
        return found


class UnsureStream(WatchedStream):
    """Redis stands still while the first command is queued, and while it is asked how far that came."""

    def __init__(self, store: Store, slug: str) -> None:
        super().__init__(store, slug)
        self.giving_up = asyncio.Event()

    async def enqueue(self, command: Command, deadline_s: float, *, request_waits: bool = True) -> bool:
        if self.giving_up.is_set():
            return await super().enqueue(command, deadline_s, request_waits=request_waits)
        raise StoreError("Redis: no answer")

    async def give_up(
        self,
        operation_id: str,
        *,
        within_s: float = 2.5,
        maybe_unqueued: bool = False,
        unfetched_only: bool = False,
    ) -> CommandState | None:
        if maybe_unqueued:
            self.giving_up.set()
            await asyncio.Event().wait()
        return await super().give_up(operation_id, unfetched_only=unfetched_only)


class Asker:
    """The command queue of one uplink."""

    def __init__(self, store: Store, slug: str, stream: WatchedStream | None = None, **times: float) -> None:
        self.registry = CollectorRegistry()
        self.lease = Lease(store, slug, "an uplink")
        self.stalls = Stalls(boottime_s())
        self.stream = stream or WatchedStream(store, slug)
        metrics = UplinkMetrics(self.registry)
        results = ResultReader(self.stream, self.lease, metrics, CommandTimes(**times))
        self.ended: list[Outcome] = []
        self.command_queue = CommandQueue(
            results,
            ModContact(0.0),
            self.stalls,
            ended=lambda command, result, took_s: self.ended.append(result),
        )
        self.activity = asyncio.create_task(self.command_queue.results.run())

    def ask(self, *, request_waits: bool = True) -> tuple[str, asyncio.Task[Outcome | CommandFailure]]:
        command = Command(new_operation_id(Action.GET_PLAYERS), Action.GET_PLAYERS, {})
        asked = self.command_queue.ask(command, request_waits=request_waits)
        return command.operation_id, asyncio.create_task(asked)

    @property
    def unclaimed(self) -> float:
        return self.registry.get_sample_value("dayz_relay_results_unclaimed_total") or 0.0


class SharedStream:
    def __init__(self, store: Store, slug: str) -> None:
        self.store = store
        self.slug = slug
        self.commands = CommandStream(store, slug)
        self.askers: list[Asker] = []

    def begin(self, **times: float) -> Asker:
        self.askers.append(Asker(self.store, self.slug, **times))
        return self.askers[-1]

    async def handed(self, at_least: int) -> None:
        taken = 0

        async def enough() -> bool:
            nonlocal taken
            taken += len(await self.commands.take())
            return taken >= at_least

        await until(enough)

    async def complete(self, operation_id: str, text: str) -> None:
        assert await self.commands.complete(operation_id, Outcome(text), {})
        for asker in self.askers:
            asker.command_queue.results.wake()

    async def left(self) -> int:
        return len(await self.commands.results("", 100))


def stand_still(for_s: float) -> None:
    """The loop of this process is blocked."""
    time.sleep(for_s)


@pytest.fixture
async def shared(store: Store, slug: str) -> AsyncIterator[SharedStream]:
    shared = SharedStream(store, slug)
    yield shared
    for asker in shared.askers:
        await cancelled(asker.activity)


async def test_each_of_two_uplinks_gets_its_own_results_and_leaves_the_others(shared: SharedStream) -> None:
    owner, other = shared.begin(), shared.begin()
    await owner.lease.renew()
    asked = [asker.ask() for asker in (owner, other, owner, other)]
    await shared.handed(4)
    for operation_id, _ in asked:
        await shared.complete(operation_id, operation_id)
    answers = await asyncio.gather(*(answer for _, answer in asked))
    assert answers == [Outcome(operation_id) for operation_id, _ in asked]
    await until(lambda: _none_left(shared))
    assert owner.unclaimed == other.unclaimed == 0


async def test_results_of_refreshes_are_read_together_and_others_at_once(shared: SharedStream) -> None:
    owner = shared.begin(read_refreshes_every_s=1.0)
    await owner.lease.renew()
    refreshes = [owner.ask(request_waits=False) for _ in range(8)]
    await shared.handed(8)
    await asyncio.gather(*(shared.complete(operation_id, "a refresh") for operation_id, _ in refreshes))
    await asyncio.gather(*(answer for _, answer in refreshes))
    assert owner.stream.reads <= 2  # two, if a moment of reading lies between them


async def test_a_result_that_a_request_waits_for_is_read_at_once(shared: SharedStream) -> None:
    owner = shared.begin(read_refreshes_every_s=100.0)
    await owner.lease.renew()
    operation_id, answer = owner.ask()
    await shared.handed(1)
    await shared.complete(operation_id, "for Takaro")
    assert await asyncio.wait_for(answer, 30.0) == Outcome("for Takaro")


async def test_results_are_read_once_for_each_hint(shared: SharedStream) -> None:
    owner = shared.begin()
    await owner.lease.renew()
    await until(lambda: owner.stream.all_reads == 1)  # as it starts
    operation_id, answer = owner.ask()
    await shared.handed(1)
    await shared.complete(operation_id, "for Takaro")
    await answer
    for _ in range(5):  # another read would have come before the last of these
        await shared.store.ping()
    assert owner.stream.all_reads == 2


async def _none_left(shared: SharedStream) -> bool:
    return await shared.left() == 0


async def test_without_the_lease_results_are_found_without_a_hint(shared: SharedStream) -> None:
    former = shared.begin()
    operation_id, answer = former.ask()
    await shared.handed(1)
    assert await shared.commands.complete(operation_id, Outcome("late"), {})
    assert await asyncio.wait_for(answer, 30.0) == Outcome("late")


async def test_an_unclaimed_result_is_counted_once_by_the_owner(shared: SharedStream) -> None:
    killed, owner, other = (shared.begin(picked_up_within_s=0.2) for _ in range(3))
    await owner.lease.renew()
    operation_id, answer = killed.ask()
    await shared.handed(1)
    await cancelled(killed.activity)
    await shared.complete(operation_id, "to nobody")

    async def counted() -> bool:
        for asker in shared.askers:
            asker.command_queue.results.wake()  # as each renewal of the lease does while results wait
        return owner.unclaimed == 1

    await until(counted)
    assert await shared.left() == 0
    assert other.unclaimed == 0
    await cancelled(answer)


async def test_a_command_that_is_cut_short_has_ended_as_well(shared: SharedStream) -> None:
    """Else it would be missing among the failed commands of the page and of the API."""
    asker = shared.begin()
    _, answer = asker.ask()
    await shared.handed(1)
    await cancelled(answer)
    assert asker.ended == [failures.CUT_SHORT]


async def test_results_are_found_in_a_new_stream_with_lower_ids(shared: SharedStream) -> None:
    owner = shared.begin(kept_s=0.0)
    await owner.lease.renew()
    results = keys_of(shared.slug).results
    future = b'{"value":null,"error":""}'
    await shared.store.send("XADD", results, "9999999999999-0", "operation", "x", "outcome", future)
    owner.command_queue.results.wake()
    await until(lambda: owner.stream.reads)
    await shared.store.send("DEL", results)  # it expired
    operation_id, answer = owner.ask()
    await shared.handed(1)
    await shared.complete(operation_id, "found")
    assert await asyncio.wait_for(answer, 30.0) == Outcome("found")


async def test_results_expire(shared: SharedStream) -> None:
    asker = shared.begin()
    operation_id, answer = asker.ask()
    await shared.handed(1)
    await shared.complete(operation_id, "answer")
    assert 0 < await shared.store.send("PTTL", keys_of(shared.slug).results) <= KEYS_EXPIRE_MS
    await answer


async def test_a_request_that_waited_unread_for_too_long_is_never_handed_out(store: Store, slug: str) -> None:
    asker = Asker(store, slug)
    now_s = boottime_s()
    asker.stalls.alive(now_s - 15.0)
    asker.stalls.alive(now_s)  # it stood still in between
    _, command_queue = asker.ask()
    failure = await command_queue
    assert isinstance(failure, CommandFailure) and "stood still" in failure.error
    assert await CommandStream(store, slug).take() == []
    await cancelled(asker.activity)


async def test_a_command_that_redis_refuses_is_not_delivered_with_the_reason(slug: str) -> None:
    server = RedisServer(binaries()["valkey"], maxmemory="1mb")
    server.start()
    store = Store(server.url)
    asker = Asker(store, slug, hand_out_within_s=1.0)
    _, asked = asker.ask()
    failure = await asked
    assert isinstance(failure, CommandFailure) and failure.cause is CommandEnd.STORE_REFUSED
    assert failure.error.startswith("not delivered: Redis is full (maxmemory)")
    await cancelled(asker.activity)
    await store.close()
    server.remove()


async def test_a_command_that_could_not_be_queued_in_time_is_not_delivered(
    shared: SharedStream, redis_server: RedisServer
) -> None:
    owner = shared.begin(answer_within_s=0.3, give_up_within_s=30.0)
    await owner.lease.renew()
    with redis_server.stopped():
        _, asked = owner.ask()
        await asyncio.sleep(0.4)  # by then it has given up, and asks how far the command came
    failure = await asked
    assert isinstance(failure, CommandFailure) and failure.error.startswith("not delivered")
    assert await shared.commands.take() == []


async def test_a_result_that_is_unread_when_the_time_is_up_is_the_answer(shared: SharedStream) -> None:
    asker = shared.begin(answer_within_s=2.0, give_up_within_s=30.0, read_within_s=30.0)
    await asker.lease.renew()
    operation_id, answer = asker.ask()
    await shared.handed(1)
    assert await shared.commands.complete(operation_id, Outcome("without a hint"), {})
    assert await asyncio.wait_for(answer, 30.0) == Outcome("without a hint")


async def test_a_command_that_is_given_up_while_the_loop_stands_still_is_not_delivered(
    shared: SharedStream,
) -> None:
    """Redis answers in time, and only this process is slow to read it: the store is not away."""
    await shared.commands.give_up("another command")  # so Redis knows the script
    asker = shared.begin(answer_within_s=0.5, give_up_within_s=0.7)
    _, answer = asker.ask()

    async def queued() -> bool:
        return bool(await shared.store.send("ZCARD", keys_of(shared.slug).waiting))

    await until(queued)
    await asyncio.sleep(0.4)
    await shared.store.send("CLIENT", "PAUSE", 300, "ALL")  # longer than until the command is given up
    await asyncio.sleep(0.2)
    stand_still(0.9)  # until its time to be given up is over
    result = await answer
    assert isinstance(result, CommandFailure) and result.cause is CommandEnd.NEVER_SEEN


async def test_an_uplink_that_leaves_queues_no_refresh(shared: SharedStream) -> None:
    asker = shared.begin()
    now_s = time.monotonic()
    leaving_by = closing_times(now_s, now_s + 30.0, mod_polls=True, has_successor=True)
    ending = asyncio.create_task(asker.command_queue.leave(leaving_by))
    await asyncio.sleep(0)
    _, answer = asker.ask(request_waits=False)
    assert isinstance(await answer, CommandFailure)
    assert await shared.commands.take() == []
    await cancelled(ending)


async def test_an_uplink_that_leaves_while_a_command_is_given_up_ends_the_others(
    store: Store, slug: str
) -> None:
    stream = UnsureStream(store, slug)
    asker = Asker(store, slug, stream)
    _, unsure = asker.ask()
    await stream.giving_up.wait()
    _, other = asker.ask()

    async def queued() -> bool:
        return bool(await store.send("ZCARD", keys_of(slug).waiting))

    await until(queued)
    now_s = time.monotonic()
    leaving_by = closing_times(now_s, now_s + 30.0, mod_polls=False, has_successor=True)
    await asker.command_queue.leave(leaving_by)
    assert await other == failures.RELAY_STOPS
    await cancelled(unsure)
    await cancelled(asker.activity)
