"""The life of a command in a real Redis: it is handed out once, in time, and answered once."""

import asyncio
import gc
import operator
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.relay.protocol.command_states import CommandState, new_operation_id
from services.relay.protocol.errors import NotCarriedOut, StoreError
from services.relay.protocol.keys import keys_of
from services.relay.protocol.records import Command, Outcome
from services.relay.protocol.vocabulary import HAND_OUT_WITHIN_S, Action
from services.relay.store.client import Script, Store
from services.relay.store.command_stream import CommandBounds, CommandStream
from tests.conftest import CALL_TIMEOUT_S
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer, binaries
from tests.support.waiting import until, until_connected


def command(name: str) -> Command:
    return Command(name, Action.GIVE_ITEM, {"gameId": "1", "item": "Apple", "amount": 2, "quality": ""})


async def enqueue(stream: CommandStream, name: str, hand_out_within_s: float = HAND_OUT_WITHIN_S) -> bool:
    return await stream.enqueue(command(name), time.monotonic() + hand_out_within_s)


async def complete(stream: CommandStream, name: str, outcome: Outcome) -> bool:
    return await stream.complete(name, outcome, {})


@pytest.fixture
def set_clock(slug: str, store: Store) -> Callable[[float], Awaitable[None]]:
    """Sets Redis' clock as the scripts see it: all stored times become that much older."""
    keys = keys_of(slug)

    async def moved(seconds: float) -> None:
        for key in (keys.waiting, keys.handed, keys.ended):
            for member in await store.send("ZRANGE", key, 0, -1):
                await store.send("ZINCRBY", key, round(-seconds * 1000), member)
        if contact := await store.send("GET", keys.contact):
            await store.send("SET", keys.contact, int(contact) - round(seconds * 1000))

    return moved


async def test_a_command_is_handed_out_once_and_complete(store: Store, slug: str) -> None:
    stream = CommandStream(store, slug)
    await enqueue(stream, "a")
    assert await stream.take() == [command("a")]
    assert await stream.take() == []


async def test_commands_are_handed_out_in_the_order_in_which_they_came(store: Store, slug: str) -> None:
    stream = CommandStream(store, slug)
    for name in "abc":
        await enqueue(stream, name)
    assert [c.operation_id for c in await stream.take()] == ["a", "b", "c"]


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """It delays the replies of a server."""
    server = RedisServer(binaries()["valkey"], port=str(free_port()))
    try:
        await asyncio.to_thread(server.start)
        async with Proxy("127.0.0.1", server.port) as proxy:
            yield proxy
    finally:
        server.remove()


async def test_writes_keep_their_order_however_long_the_replies_of_redis_take(
    proxy: Proxy, slug: str
) -> None:
    store = Store(f"redis://127.0.0.1:{proxy.port}")
    try:
        stream = CommandStream(store, slug)
        begun_s = time.monotonic()
        for number, delay_s in enumerate((0.0, 0.05, 0.0, 0.03, 0.01, 0.0)):
            proxy.reply_delay_s = delay_s
            assert await stream.enqueue(command(str(number)), begun_s + HAND_OUT_WITHIN_S + number / 1000)
        proxy.reply_delay_s = 0.0
        assert [c.operation_id for c in await stream.take()] == ["0", "1", "2", "3", "4", "5"]
    finally:
        await store.close()


async def test_enqueueing_again_after_a_lost_reply_does_not_double_the_command(
    store: Store, slug: str
) -> None:
    stream = CommandStream(store, slug)
    assert await enqueue(stream, "a") and await enqueue(stream, "a")
    assert len(await stream.take()) == 1


async def test_a_command_past_its_deadline_is_never_handed_out(
    store: Store, slug: str, set_clock: Callable[[float], Awaitable[None]]
) -> None:
    stream = CommandStream(store, slug)
    await enqueue(stream, "late")
    await set_clock(HAND_OUT_WITHIN_S + 1)
    await enqueue(stream, "good")
    assert [c.operation_id for c in await stream.take()] == ["good"]


async def test_the_first_answer_counts_and_later_ones_do_not(store: Store, slug: str) -> None:
    stream = CommandStream(store, slug)
    await enqueue(stream, "a")
    await stream.take()
    assert await complete(stream, "a", Outcome({"first": True}))
    assert not await complete(stream, "a", Outcome({"second": True}))
    assert [(name, outcome) for _, name, outcome in await stream.results("", 10)] == [
        ("a", Outcome({"first": True}))
    ]


@pytest.mark.parametrize("name", ["never-heard-of", "waiting"])
async def test_an_answer_to_a_command_that_was_not_handed_out_is_refused(
    store: Store, slug: str, name: str
) -> None:
    stream = CommandStream(store, slug)
    await enqueue(stream, "waiting")
    assert not await complete(stream, name, Outcome({}))
    assert await stream.results("", 10) == []


async def test_giving_up_says_how_far_a_command_came_and_ends_it(store: Store, slug: str) -> None:
    stream = CommandStream(store, slug)
    await enqueue(stream, "waiting")
    assert await stream.give_up("waiting") is CommandState.EXPIRED
    assert await stream.take() == []

    await enqueue(stream, "handed")
    await stream.take()
    assert await stream.give_up("handed") is CommandState.UNKNOWN
    assert not await complete(stream, "handed", Outcome({}))

    assert await stream.give_up("handed") is None


async def test_the_queue_of_a_mod_that_never_polls_is_bounded(store: Store, slug: str) -> None:
    stream = CommandStream(store, slug, most_waiting=2)
    assert [await enqueue(stream, name) for name in "abc"] == [True, True, False]
    await stream.give_up("a")
    assert await enqueue(stream, "d")


async def test_a_command_that_expired_unfetched_is_not_delivered_after_later_ones_were(
    store: Store, slug: str, set_clock: Callable[[float], Awaitable[None]]
) -> None:
    stream = CommandStream(store, slug)
    await enqueue(stream, "old")
    await set_clock(HAND_OUT_WITHIN_S + 1)
    await enqueue(stream, "new")
    await stream.take()
    assert await stream.give_up("old") is CommandState.EXPIRED


async def test_a_mod_that_never_polls_leaves_nothing_behind_for_long(store: Store, slug: str) -> None:
    stream = CommandStream(store, slug, bounds=CommandBounds(keep_ms=20, keys_expire_ms=100))
    keys = keys_of(slug)
    for number in range(30):
        await enqueue(stream, str(number))
        await asyncio.sleep(0.005)  # so the first ones grow older than keep_ms
    assert await store.send("XLEN", keys.writes) < 15  # those of the last 20 ms, not all
    await until(
        lambda: store.send("EXISTS", keys.writes, keys.waiting, keys.handed, keys.ended), met=operator.not_
    )


@pytest.mark.parametrize("steps", ["", "take", "take complete", "take give_up", "give_up"])
async def test_an_enqueue_repeated_after_a_lost_reply_queues_nothing_again(
    store: Store, slug: str, steps: str
) -> None:
    stream = CommandStream(store, slug)
    await enqueue(stream, "a")
    handed = []
    for step in steps.split():
        if step == "take":
            handed += await stream.take()
        elif step == "complete":
            await complete(stream, "a", Outcome({}))
        else:
            await stream.give_up("a")
    assert await enqueue(stream, "a")
    handed += await stream.take()
    assert len(handed) == (0 if steps == "give_up" else 1)


async def test_an_enqueue_that_was_stuck_in_a_stalled_store_queues_nothing_later(
    redis_server: RedisServer, store: Store, slug: str
) -> None:
    stalled = Store(redis_server.url, call_timeout_s=0.2)
    await until_connected(stalled)
    with redis_server.stopped():
        with pytest.raises(StoreError):
            await enqueue(CommandStream(stalled, slug), "late", hand_out_within_s=0.3)
    await store.ping()
    assert await CommandStream(store, slug).take() == []
    await stalled.close()


async def test_a_command_that_arrives_after_its_deadline_is_not_queued(store: Store, slug: str) -> None:
    stream, keys = CommandStream(store, slug), keys_of(slug)
    deadline_ms = await store.read_clock(keys.contact) // 1000 - 1
    names = (keys.writes, keys.waiting, keys.handed, keys.ended)
    arguments = ("a", "shutdown", "{}", deadline_ms, 9, 1_000, 9, 1_000, 9_000)
    assert await store.run(Script("enqueue"), names, *arguments) == b"late"
    assert await stream.take() == []


async def test_many_ended_commands_do_not_hide_a_waiting_one(store: Store, slug: str) -> None:
    stream = CommandStream(store, slug)
    for number in range(250):
        await enqueue(stream, str(number))
        await stream.give_up(str(number))
    await enqueue(stream, "last")
    assert [c.operation_id for c in await stream.take()] == ["last"]
    assert await store.send("XLEN", keys_of(slug).writes) == 0


async def test_writes_go_before_reads_and_the_oldest_deadline_first_in_each(store: Store, slug: str) -> None:
    stream, now_s = CommandStream(store, slug), time.monotonic()
    for name, action, within_s in [
        ("read-late", Action.GET_PLAYERS, 7.4),
        ("read-soon", Action.LIST_BANS, 7.2),
        ("write-late", Action.SEND_MESSAGE, 7.3),
        ("write-soon", Action.KICK_PLAYER, 7.1),
    ]:
        await stream.enqueue(Command(name, action, {}), now_s + within_s)
    order = [c.operation_id for c in await stream.take()]
    assert order == ["write-soon", "write-late", "read-soon", "read-late"]


async def test_a_command_larger_than_a_poll_is_handed_out_alone(store: Store, slug: str) -> None:
    stream = CommandStream(store, slug, bounds=CommandBounds(poll_bytes=10))
    await enqueue(stream, "a")
    await enqueue(stream, "b")
    assert [[c.operation_id for c in await stream.take()] for _ in range(3)] == [["a"], ["b"], []]


async def test_one_poll_has_no_more_bytes_than_a_mod_can_read(store: Store, slug: str) -> None:
    # 110 bytes hold two of these commands, not three.
    stream = CommandStream(store, slug, bounds=CommandBounds(poll_commands=3, poll_bytes=110))
    for name in "abcde":
        await enqueue(stream, name)
    assert [len(await stream.take()) for _ in range(4)] == [2, 2, 1, 0]


async def test_one_poll_has_no_more_commands_than_a_mod_can_run_at_once(store: Store, slug: str) -> None:
    stream = CommandStream(store, slug, bounds=CommandBounds(poll_commands=3))
    for number in range(7):
        action = Action.SHUTDOWN if number % 2 else Action.GET_PLAYERS
        await stream.enqueue(Command(str(number), action, {}), time.monotonic() + HAND_OUT_WITHIN_S)
    polls = [[c.operation_id for c in await stream.take()] for _ in range(4)]
    assert polls == [["1", "3", "5"], ["0", "2", "4"], ["6"], []]


async def test_results_that_were_deleted_are_gone_and_the_others_stay(store: Store, slug: str) -> None:
    stream = CommandStream(store, slug)
    for name in "abc":
        await enqueue(stream, name)
    await stream.take()
    for name in "abc":
        await complete(stream, name, Outcome({}))
    first, second, third = await stream.results("", 10)
    stream.delete_results([first[0], third[0]])
    assert [name for _, name, _ in await stream.results("", 10)] == ["b"]
    assert await stream.delete_unclaimed(second[0]) and not await stream.delete_unclaimed(second[0])
    assert await stream.results("", 10) == []


async def test_a_result_that_a_newer_version_wrote_is_read_as_far_as_it_is_known(
    store: Store, slug: str
) -> None:
    stored = b'{"value":{"x":1},"error":"","took_ms":7}'
    await store.send("XADD", keys_of(slug).results, "*", "operation", "a", "outcome", stored)
    await store.send("XADD", keys_of(slug).results, "*", "operation", "b", "outcome", b'{"error":"no"}')
    found = [outcome for _, _, outcome in await CommandStream(store, slug).results("", 10)]
    assert found == [Outcome({"x": 1}), Outcome(error="no")]


async def test_refreshes_go_last_and_alone_only_if_that_is_allowed(store: Store, slug: str) -> None:
    stream = CommandStream(store, slug)
    soon = time.monotonic() + HAND_OUT_WITHIN_S
    refresh = Command("refresh", Action.GET_PLAYERS, {})
    await stream.enqueue(refresh, soon, request_waits=False)
    assert await stream.take(refreshes_alone=False) == []
    await stream.enqueue(Command("read", Action.GET_PLAYERS, {}), soon)
    await enqueue(stream, "write")
    taken = await stream.take(refreshes_alone=False)
    assert [c.operation_id for c in taken] == ["write", "read", "refresh"]
    await stream.enqueue(replace(refresh, operation_id="alone"), soon, request_waits=False)
    assert [c.operation_id for c in await stream.take()] == ["alone"]


async def test_a_take_that_was_stuck_in_a_stalled_store_takes_nothing_when_its_poll_has_given_up(
    redis_server: RedisServer, store: Store, slug: str
) -> None:
    stalled = Store(redis_server.url, call_timeout_s=0.3)
    taking = CommandStream(stalled, slug, bounds=CommandBounds(take_within_s=0.2))
    await until_connected(stalled)
    await enqueue(CommandStream(store, slug), "a")
    with redis_server.stopped():
        with pytest.raises(StoreError):
            await taking.take()
    await store.ping()
    assert await CommandStream(store, slug).take() == [command("a")]
    await stalled.close()


async def test_a_take_that_is_cancelled_before_it_left_is_not_sent(store: Store, slug: str) -> None:
    stream = CommandStream(store, slug)
    await enqueue(stream, "a")
    await store.read_clock(keys_of(slug).contact)
    taking = asyncio.create_task(stream.take())
    await asyncio.sleep(0)  # it waits for the next pipeline
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    await store.ping()
    assert await store.send("ZCARD", keys_of(slug).handed) == 0
    assert await stream.take() == [command("a")]


async def test_commands_of_a_cancelled_take_are_handed_back_in_their_order(
    redis_server: RedisServer, slug: str
) -> None:
    async with Proxy(str(redis_server.socket), 0) as proxy:
        store = Store(f"redis://127.0.0.1:{proxy.port}/0", call_timeout_s=CALL_TIMEOUT_S)
        stream = CommandStream(store, slug)
        for name in "ab":
            await enqueue(stream, name)
        assert await CommandStream(store, slug).take(refreshes_alone=False) != []
        await enqueue(stream, "c")
        await enqueue(stream, "d")
        await store.read_clock(keys_of(slug).contact)
        proxy.passing.clear()
        taking = asyncio.create_task(stream.take())
        await proxy.next_request()
        taking.cancel()
        await asyncio.wait([taking])
        proxy.passing.set()
        await until(lambda: store.send("ZCARD", keys_of(slug).waiting), met=lambda count: count == 2)
        await enqueue(stream, "e")
        assert [c.operation_id for c in await stream.take()] == ["c", "d", "e"]
        await store.close()


async def test_a_take_that_is_cancelled_in_the_moment_of_its_reply_hands_its_commands_back(
    store: Store, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = CommandStream(store, slug)
    await enqueue(stream, "a")
    run = store.run

    def cancelling(*args: Any, **options: Any) -> asyncio.Future[Any]:
        reply = run(*args, **options)
        reply.add_done_callback(lambda _: taking.cancel())  # it runs before the task that waits for the reply
        return reply

    with monkeypatch.context() as patched:
        patched.setattr(store, "run", cancelling)
        taking = asyncio.create_task(stream.take())
        await asyncio.wait([taking])
    assert taking.cancelled()
    assert await stream.take() == [command("a")]


async def test_a_command_that_has_ended_is_not_handed_back(store: Store, slug: str) -> None:
    stream = CommandStream(store, slug)
    for name in "ab":
        await enqueue(stream, name)
    taken = await stream.take()
    assert await stream.give_up("a") is CommandState.UNKNOWN
    for _ in range(2):  # also when it is said twice
        stream.hand_back(taken)
    assert await until(stream.take) == [command("b")]
    assert await stream.give_up("b") is CommandState.UNKNOWN


async def test_a_result_is_stored_when_its_caller_is_cancelled(store: Store, slug: str) -> None:
    stream = CommandStream(store, slug)
    await enqueue(stream, "a")
    await stream.take()
    passing = asyncio.create_task(complete(stream, "a", Outcome({})))
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # it waits for the next pipeline
    passing.cancel()
    await asyncio.wait([passing])
    await until(lambda: stream.results("", 10))


async def test_a_failed_enqueue_says_whether_its_command_may_be_queued(
    redis_server: RedisServer, slug: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nobody = Store(f"unix://{tmp_path}/nobody")
    with pytest.raises(NotCarriedOut, match="nobody"):
        await enqueue(CommandStream(nobody, slug), "a", hand_out_within_s=0.5)
    await nobody.close()

    stalled = Store(redis_server.url, call_timeout_s=0.2)
    stream = CommandStream(stalled, slug)
    monkeypatch.setattr(stalled, "read_clock", lambda key: asyncio.sleep(0, 10**18))
    await until_connected(stalled)
    with redis_server.stopped(), pytest.raises(StoreError) as raised:
        await enqueue(stream, "a", hand_out_within_s=0.3)
    assert not isinstance(raised.value, NotCarriedOut)
    await stalled.close()


async def test_a_command_that_was_perhaps_not_queued_has_expired_and_is_not_queued_later(
    store: Store, slug: str
) -> None:
    stream = CommandStream(store, slug)
    assert await stream.give_up("a", maybe_unqueued=True) is CommandState.EXPIRED
    assert await enqueue(stream, "a")  # it was stuck on its way
    assert await stream.take() == []

    await enqueue(stream, "b")
    await stream.take()
    assert await stream.give_up("b", maybe_unqueued=True) is CommandState.UNKNOWN
    await enqueue(stream, "c")
    await stream.take()
    await complete(stream, "c", Outcome({}))
    assert await stream.give_up("c", maybe_unqueued=True) is None


async def test_a_call_that_outlives_its_caller_leaves_no_unretrieved_exception(
    redis_server: RedisServer, slug: str
) -> None:
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    async with Proxy(str(redis_server.socket), 0) as proxy:
        store = Store(f"redis://127.0.0.1:{proxy.port}/0", call_timeout_s=0.2)
        await until_connected(store)
        proxy.passing.clear()
        passing = asyncio.create_task(complete(CommandStream(store, slug), "a", Outcome({})))
        await proxy.next_request()
        passing.cancel()
        await asyncio.wait([passing])
        del passing
        await store.close()
    gc.collect()
    await asyncio.sleep(0)
    assert reported == []


EIGHT_DAYS_S = 8 * 86_400.0


async def test_a_clock_that_is_set_forward_loses_no_result_and_no_end_of_a_command(
    store: Store, slug: str, set_clock: Callable[[float], Awaitable[None]]
) -> None:
    stream = CommandStream(store, slug)
    for name in "abc":
        await enqueue(stream, name)
    await stream.take()
    await enqueue(stream, "waits")
    await set_clock(EIGHT_DAYS_S)
    await enqueue(stream, "d")
    assert [c.operation_id for c in await stream.take()] == ["d"]
    assert await complete(stream, "a", Outcome("done"))
    assert [name for _, name, _ in await stream.results("", 10)] == ["a"]
    assert await stream.give_up("b") is CommandState.UNKNOWN
    assert await stream.give_up("waits") is CommandState.EXPIRED
    assert await enqueue(stream, "a")  # repeated after a lost reply
    assert await stream.take() == []


@pytest.mark.parametrize("seconds", [60.0, EIGHT_DAYS_S])
async def test_a_clock_that_is_set_back_gives_no_command_more_time(
    store: Store, slug: str, set_clock: Callable[[float], Awaitable[None]], seconds: float
) -> None:
    stream = CommandStream(store, slug, most_waiting=2)
    for name in "ab":
        await enqueue(stream, name)
    await set_clock(-seconds)
    assert await enqueue(stream, "new")  # what is left of the others takes no room
    assert [c.operation_id for c in await stream.take()] == ["new"]
    assert await stream.give_up("a") is CommandState.EXPIRED


async def test_a_mod_is_heard_of_after_a_clock_was_set_back(
    store: Store, slug: str, set_clock: Callable[[float], Awaitable[None]]
) -> None:
    stream, contact = CommandStream(store, slug), keys_of(slug).contact
    await stream.take()
    before_ms = int(await store.send("GET", contact))
    await set_clock(-EIGHT_DAYS_S)
    await stream.take()
    assert abs(int(await store.send("GET", contact)) - before_ms) < 60_000


@pytest.mark.parametrize("key", ["waiting", "handed", "ended", "results"])
async def test_no_key_of_commands_expires_by_a_step_of_days(store: Store, slug: str, key: str) -> None:
    stream = CommandStream(store, slug)
    for name in "ab":
        await enqueue(stream, name)
    await stream.take()
    await complete(stream, "a", Outcome({}))
    await enqueue(stream, "c")
    assert await store.send("PTTL", getattr(keys_of(slug), key)) > EIGHT_DAYS_S * 1000


async def test_commands_that_were_handed_out_during_a_standstill_go_back(
    store: Store, slug: str, redis_server: RedisServer
) -> None:
    """The mod would get a write after its deadline. The next poll gets it, unless it is too late by then."""
    stream = CommandStream(store, slug, bounds=CommandBounds(take_within_s=0.3))
    assert await stream.take() == []  # its clock is known from now on
    command = Command(new_operation_id(Action.GET_PLAYERS), Action.GET_PLAYERS, {})
    assert await stream.enqueue(command, time.monotonic() + HAND_OUT_WITHIN_S)
    redis_server.pause()
    taking = asyncio.create_task(stream.take())
    for _ in range(10):
        await asyncio.sleep(0)
    threading.Timer(0.1, redis_server.resume).start()
    time.sleep(0.8)  # noqa: ASYNC251  # Redis hands it out meanwhile
    with pytest.raises(StoreError):
        await taking
    await until(lambda: CommandStream(store, slug).take(), met=lambda taken: taken == [command])
