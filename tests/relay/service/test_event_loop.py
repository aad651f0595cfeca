"""Names are looked up in threads, and a cancelled connection leaves no look-up behind."""

import asyncio
import contextlib
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from services.relay.service.event_loop import Loop
from services.relay.store.connection import dial
from services.relay.store.refusals import Unreachable
from services.relay.store.url import Endpoint, Login
from tests.support.waiting import until

NOBODY = "nobody.invalid"


class CountingLoop(Loop):
    """Counts the lookups that have begun and ended."""

    begun = ended = 0

    async def getaddrinfo(self, *address: Any, **how: Any) -> Any:
        self.begun += 1
        try:
            return await super().getaddrinfo(*address, **how)
        finally:
            self.ended += 1


def run(work: Callable[[CountingLoop], Coroutine[Any, Any, None]]) -> list[dict[str, Any]]:
    """Runs work to its end. Returns what the loop reported."""
    reported: list[dict[str, Any]] = []

    async def whole() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, CountingLoop)
        loop.set_exception_handler(lambda _, context: reported.append(context))
        await work(loop)
        await until(lambda: loop.begun == loop.ended, 30.0)
        gc.collect()
        await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        runner.run(whole())
    return reported


def test_a_lookup_that_is_given_up_leaves_no_unretrieved_exception() -> None:
    async def dial_and_give_up(loop: CountingLoop) -> None:
        for _ in range(5):
            with contextlib.suppress(TimeoutError, OSError):
                async with asyncio.timeout(0):
                    await loop.create_connection(asyncio.Protocol, NOBODY, 6379)

    assert run(dial_and_give_up) == []


def test_one_lookup_of_a_name_serves_all_callers() -> None:
    async def ask(loop: CountingLoop) -> None:
        dials = [loop.create_connection(asyncio.Protocol, NOBODY, 6379) for _ in range(20)]
        failures = await asyncio.gather(*dials, return_exceptions=True)
        assert all(isinstance(failure, OSError) for failure in failures)
        assert loop.begun == 1

    assert run(ask) == []


def test_a_name_leads_to_the_address_at_which_a_server_listens() -> None:
    async def connect(loop: CountingLoop) -> None:
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            transport, _ = await loop.create_connection(asyncio.Protocol, "localhost", port)
        finally:
            server.close()
        transport.close()
        with pytest.raises(Unreachable, match="nobody listens on localhost"):
            await dial(Endpoint("localhost", port), Login())

    assert run(connect) == []
