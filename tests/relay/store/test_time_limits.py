"""A call whose time is up ends with an error of the store, on the loop that the services use."""

import asyncio
import os
import sys
import time

import pytest

from services.relay.protocol.errors import StoreError
from services.relay.service.event_loop import Loop
from services.relay.store.client import CLOCK, Script, Store
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer, binaries
from tests.support.waiting import until


@pytest.mark.parametrize("though_cancelled", [False, True])
def test_a_time_limit_is_no_cancellation_even_if_a_timer_is_early(
    redis_server: RedisServer, though_cancelled: bool
) -> None:
    async def calls() -> list[object]:
        store = Store(redis_server.url)
        await store.run_until(20.0, CLOCK, ("{x}:time",))
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
        assert all(isinstance(one, StoreError) for one in runner.run(calls()))


def test_a_reply_that_came_while_this_process_stood_still_counts(redis_server: RedisServer) -> None:
    async def call() -> type:
        store = Store(redis_server.url)
        await store.run_until(20.0, CLOCK, ("{x}:time",))
        waiting = asyncio.create_task(store.run_until(0.5, CLOCK, ("{x}:time",)))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(time.sleep, 0.7)
        replies = await asyncio.gather(waiting, return_exceptions=True)
        await store.close()
        return type(replies[0])

    with asyncio.Runner(loop_factory=Loop) as runner:
        assert runner.run(call()) is list


@pytest.mark.skipif(sys.platform == "win32", reason="no process can be stopped there")
def test_a_reply_that_came_while_this_process_was_frozen_counts(redis_server: RedisServer) -> None:
    """After a freeze the loop runs its timers first: the limit of the round trip came before the reply."""

    async def call() -> object:
        store = Store(redis_server.url, call_timeout_s=0.6)
        await store.run_until(20.0, CLOCK, ("{x}:time",))
        await store.send("CLIENT", "PAUSE", 400, "ALL")
        waiting = store.run(CLOCK, ("{x}:time",))
        freeze = f"sleep 0.1; kill -STOP {os.getpid()}; sleep 0.8; kill -CONT {os.getpid()}"
        freezing = await asyncio.create_subprocess_exec("sh", "-c", freeze)
        [reply] = await asyncio.gather(waiting, return_exceptions=True)
        await freezing.wait()
        await store.close()
        return type(reply)

    with asyncio.Runner(loop_factory=Loop) as runner:
        assert runner.run(call()) is list


async def test_a_call_that_may_have_been_carried_out_is_not_said_to_be_refused(slug: str) -> None:
    """The first run is carried out and its reply is lost; then the memory is full, and the others are
    refused."""
    write, key = Script("small_write"), f"relay:{{{slug}}}:written"
    vars(write)["text"] = "return redis.call('INCR', KEYS[1])"
    server = RedisServer(binaries()["valkey"], port=str(free_port()))
    try:
        await asyncio.to_thread(server.start)
        async with Proxy("127.0.0.1", server.port) as proxy:
            store = Store(f"redis://127.0.0.1:{proxy.port}", call_timeout_s=1.5)
            await store.run_until(20.0, write, (f"{key}-before",))  # now Redis knows the script
            proxy.drop_replies = True
            writing = asyncio.create_task(store.run_until(4.0, write, (key,)))
            await until(lambda: server.ask("EXISTS", key))
            server.ask("CONFIG", "SET", "maxmemory", "1")
            proxy.drop_replies = False
            [error] = await asyncio.gather(writing, return_exceptions=True)
            assert type(error) is StoreError and "maxmemory" in str(error)
            await store.close()
    finally:
        server.remove()
