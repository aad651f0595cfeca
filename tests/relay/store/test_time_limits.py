"""A call whose time is up ends with an error of the store, on the loop that the services use."""

import asyncio
import time

import pytest

from services.relay.protocol.errors import StoreError
from services.relay.service.event_loop import Loop
from services.relay.store.client import CLOCK, Store
from tests.support.redis_server import RedisServer


@pytest.mark.parametrize("though_cancelled", [False, True])
def test_a_time_limit_is_no_cancellation_even_if_a_timer_is_early(
    redis_server: RedisServer, though_cancelled: bool
) -> None:
    async def calls() -> list[object]:
        store = Store(redis_server.url)
        await store.run_until(2.0, CLOCK, ("{x}:time",))
        with redis_server.stopped():
            limits_s = (0.02 + number / 10_000 for number in range(20))
            waiting = (
                store.run_until(limit_s, CLOCK, ("{x}:time",), though_cancelled=though_cancelled)
                for limit_s in limits_s
            )
            ended = await asyncio.gather(*waiting, return_exceptions=True)
        await store.close()
        return list(ended)

    with asyncio.Runner(loop_factory=Loop) as runner:
        assert {type(one) for one in runner.run(calls())} == {StoreError}


def test_a_reply_that_came_while_this_process_stood_still_counts(redis_server: RedisServer) -> None:
    async def call() -> type:
        store = Store(redis_server.url)
        await store.run_until(2.0, CLOCK, ("{x}:time",))
        waiting = asyncio.create_task(store.run_until(0.2, CLOCK, ("{x}:time",)))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(time.sleep, 0.4)
        replies = await asyncio.gather(waiting, return_exceptions=True)
        await store.close()
        return type(replies[0])

    with asyncio.Runner(loop_factory=Loop) as runner:
        assert runner.run(call()) is list
