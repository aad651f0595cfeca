"""Calls whose caller has gone: some must be sent all the same, and the others must hold up nothing."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from services.relay.protocol.errors import StoreError
from services.relay.store.calls import PipelineTerms, StoreCall
from services.relay.store.connection import fail_late
from services.relay.store.durability import ServerFacts
from services.relay.store.pipeline import Pipeline
from services.relay.store.refusals import RedisRefusal
from services.relay.store.url import Endpoint
from tests.support.waiting import until


@pytest.mark.parametrize("by_time", [False, True])
async def test_a_kept_call_is_sent_without_its_caller_until_it_has_been_answered(by_time: bool) -> None:
    call = StoreCall(("PING",), asyncio.get_running_loop().create_future(), kept=True)
    if by_time:
        fail_late(call.reply, StoreError("too late"), float("inf"))
        assert isinstance(call.reply.exception(), StoreError)
    else:
        call.reply.cancel()
    assert not call.given_up and call.settle(RedisRefusal("TRYAGAIN a slot is on its way"))
    assert not call.given_up and not call.settle(b"PONG")
    assert call.given_up


async def test_a_kept_call_that_has_failed_is_not_sent_again() -> None:
    call = StoreCall(("PING",), asyncio.get_running_loop().create_future(), kept=True)
    call.fail(StoreError("refused"))
    assert call.given_up and isinstance(call.reply.exception(), StoreError)


class _Node:
    """A connection to a server of a cluster whose slot 1 moves."""

    def __init__(self) -> None:
        self.lost = False
        self.asked = 0

    async def exchange(self, commands: list[bytes], replies: list[Any], within_s: float) -> None:
        self.asked += 1
        replies += [RedisRefusal("ASK 1 there:1")] * len(commands)

    def close(self) -> None:
        self.lost = True


async def test_a_call_that_was_given_up_on_the_way_to_another_node_costs_the_others_no_time() -> None:
    """The pipeline waited for the reply to nothing until the time limit."""
    loop, here, there = asyncio.get_running_loop(), _Node(), _Node()
    call = StoreCall(("GET", "a"), loop.create_future(), 1)

    async def dial(place: Endpoint) -> tuple[_Node, ServerFacts]:
        return here, ServerFacts("Valkey", "9.0")

    async def dial_named(node: str, asked: Endpoint) -> _Node:
        call.reply.cancel()
        return there

    topology: Any = SimpleNamespace(dial=dial, dial_named=dial_named)
    terms = PipelineTerms(loop, 0, False, lambda took_s, ok: None, 2.0)
    pipeline = Pipeline(topology, Endpoint("here", 1), terms, lambda pipeline: None)
    pipeline.put(call)
    await until(lambda: there.lost)
    assert here.asked == 1 and there.asked == 0
    await pipeline.close()
