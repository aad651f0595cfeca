"""A call that must be sent though its caller has gone."""

import asyncio

import pytest

from services.relay.protocol.errors import StoreError
from services.relay.store.calls import StoreCall
from services.relay.store.refusals import RedisRefusal


@pytest.mark.parametrize("by_time", [False, True])
async def test_a_kept_call_is_sent_without_its_caller_until_it_has_been_answered(by_time: bool) -> None:
    call = StoreCall(("PING",), asyncio.get_running_loop().create_future(), kept=True)
    if by_time:
        call.fail_late(StoreError("too late"), float("inf"))
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
