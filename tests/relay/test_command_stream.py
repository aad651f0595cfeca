"""The life of a command against a real store: handed out once, in time, answered once."""

import asyncio
import time

import pytest

from services.relay import command_stream
from services.relay.command_stream import CommandStream
from services.relay.errors import LostLease
from services.relay.instance_state import InstanceState
from services.relay.leases import Lease
from services.relay.records import Command, Outcome
from services.relay.store import Store
from services.relay.vocabulary import Action


def command(name: str) -> Command:
    return Command(name, Action.GIVE_ITEM, {"gameId": "1", "item": "Apple", "amount": 2, "quality": ""})


async def enqueue(stream: CommandStream, name: str, hand_out_within_s: float = 5.0) -> bool:
    return await stream.enqueue(command(name), time.monotonic() + hand_out_within_s)


async def complete(stream: CommandStream, name: str, outcome: Outcome) -> bool:
    return await stream.complete(name, outcome, {})


async def test_a_command_is_handed_out_once_and_whole(store: Store, slug: str) -> None:
    stream = CommandStream(store, slug)
    await enqueue(stream, "a")
    assert await stream.take() == [command("a")]
    assert await stream.take() == []


async def test_commands_are_handed_out_in_the_order_in_which_they_came(store: Store, slug: str) -> None:
    stream = CommandStream(store, slug)
    for name in "abc":
        await enqueue(stream, name)
    assert [c.operation_id for c in await stream.take()] == ["a", "b", "c"]


async def test_enqueueing_again_after_a_lost_reply_does_not_double_the_command(
    store: Store, slug: str
) -> None:
    stream = CommandStream(store, slug)
    assert await enqueue(stream, "a") and await enqueue(stream, "a")
    assert len(await stream.take()) == 1


async def test_a_command_past_its_deadline_is_never_handed_out(store: Store, slug: str) -> None:
    stream = CommandStream(store, slug)
    await enqueue(stream, "late", hand_out_within_s=0.01)
    await enqueue(stream, "good")
    await asyncio.sleep(0.05)  # the deadline is on the server's clock
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
async def test_an_answer_to_what_was_not_handed_out_is_refused(store: Store, slug: str, name: str) -> None:
    stream = CommandStream(store, slug)
    await enqueue(stream, "waiting")
    assert not await complete(stream, name, Outcome({}))
    assert await stream.results("", 10) == []


async def test_giving_up_says_how_far_a_command_came_and_ends_it(store: Store, slug: str) -> None:
    stream = CommandStream(store, slug)
    await enqueue(stream, "waiting")
    assert await stream.give_up("waiting") == "undelivered"
    assert await stream.take() == []

    await enqueue(stream, "handed")
    await stream.take()
    assert await stream.give_up("handed") == "unanswered"
    assert not await complete(stream, "handed", Outcome({}))

    assert await stream.give_up("handed") == "gone"


async def test_a_mod_that_never_polls_fills_its_queue_and_no_more(
    store: Store, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_stream, "MAX_WAITING", 2)
    stream = CommandStream(store, slug)
    assert [await enqueue(stream, name) for name in "abc"] == [True, True, False]
    await stream.give_up("a")
    assert await enqueue(stream, "d")


async def test_what_expired_unfetched_leaves_nothing_behind(store: Store, slug: str) -> None:
    stream = CommandStream(store, slug)
    await enqueue(stream, "old", hand_out_within_s=0.01)
    await asyncio.sleep(0.05)
    await enqueue(stream, "new")
    assert await store.send("XLEN", f"relay:{{{slug}}}:commands") == 1
    assert (await InstanceState(store, slug).queued()).commands == 1


async def test_one_poll_carries_no_more_than_a_mod_can_digest(
    store: Store, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_stream, "MAX_POLL_COMMANDS", 3)
    monkeypatch.setattr(command_stream, "MAX_POLL_BYTES", 110)  # two of these, not three
    stream = CommandStream(store, slug)
    for name in "abcde":
        await enqueue(stream, name)
    assert [len(await stream.take()) for _ in range(4)] == [2, 2, 1, 0]


async def test_results_that_were_passed_on_are_gone_and_only_the_owner_may_say_so(
    store: Store, slug: str
) -> None:
    stream, lease = CommandStream(store, slug), Lease(store, slug)
    await lease.renew()
    for name in "ab":
        await enqueue(stream, name)
    await stream.take()
    for name in "ab":
        await complete(stream, name, Outcome({}))
    first, second = await stream.results("", 10)
    with pytest.raises(LostLease):
        await stream.trim_results("not the token", first[0])
    await stream.trim_results(lease.token, first[0])
    assert [name for _, name, _ in await stream.results("", 10)] == ["b"]
    assert await stream.results(second[0], 10) == []
