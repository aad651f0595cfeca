"""Calls whose caller has gone: some must be sent all the same."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from services.relay.protocol.errors import StoreError
from services.relay.store.client import Script, Store
from tests.conftest import CALL_TIMEOUT_S
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer
from tests.support.waiting import until

TRYAGAIN = b"-TRYAGAIN a slot is on its way\r\n"


class Counting(Script):
    """Counts its runs, and then answers `reply`."""

    def __init__(self, reply: str = "1") -> None:
        super().__init__("of this test")
        self.text = f"redis.call('INCR', KEYS[1]) return {reply}"


@dataclass
class Path:
    """A store, its Redis, and the proxy between them."""

    server: RedisServer
    proxy: Proxy
    store: Store
    key: str

    async def runs(self, script: Script, within_s: float = 60.0) -> None:
        """Runs it although its caller may go."""
        await self.store.run_until(within_s, script, (self.key,), though_cancelled=True)

    async def sent_without_its_caller(self, script: Script) -> None:
        """The caller goes while its call is on its way."""
        self.server.ask("SCRIPT", "LOAD", script.text)
        self.proxy.passing.clear()
        asking = asyncio.create_task(self.runs(script))
        await self.proxy.next_request()
        asking.cancel()
        await asyncio.wait([asking])
        self.proxy.passing.set()

    async def counted(self) -> int:
        """The number of runs, when all that was sent before this has been answered."""
        return int(await self.store.send("GET", self.key) or 0)


@pytest.fixture
async def path(redis_server: RedisServer, slug: str) -> AsyncIterator[Path]:
    async with Proxy(str(redis_server.socket), 0) as proxy:
        store = Store(f"redis://127.0.0.1:{proxy.port}/0", call_timeout_s=CALL_TIMEOUT_S)
        path = Path(redis_server, proxy, store, f"relay:{{{slug}}}:runs")
        assert await path.counted() == 0
        yield path
        await store.close()


async def test_a_kept_call_is_sent_without_its_caller_until_it_has_been_answered(path: Path) -> None:
    refusals = [TRYAGAIN]
    path.proxy.replaced = lambda reply: refusals.pop() if refusals else reply
    await path.sent_without_its_caller(Counting())
    await until(path.counted, met=lambda count: count == 2)
    assert not refusals and await path.counted() == 2


async def test_a_kept_call_is_sent_though_its_time_is_over(path: Path) -> None:
    path.proxy.passing.clear()
    first = path.store.send("GET", path.key)  # the next pipeline waits for its reply
    await asyncio.sleep(0)
    with pytest.raises(StoreError):
        await path.runs(Counting(), within_s=0.1)
    path.proxy.passing.set()
    assert await first is None
    await until(path.counted, met=lambda count: count == 1)


async def test_a_kept_call_that_has_failed_is_not_sent_again(path: Path) -> None:
    await path.sent_without_its_caller(Counting("redis.error_reply('ERR refused')"))
    await until(path.counted)
    assert await path.counted() == 1


async def test_a_call_that_redis_will_always_refuse_is_named_in_the_log(
    store: Store, slug: str, caplog: pytest.LogCaptureFixture
) -> None:
    key = f"relay:{{{slug}}}:runs"
    with pytest.raises(StoreError):
        await store.run(Counting("redis.error_reply('OOM of this test')"), (key,))
    assert not caplog.text
    with pytest.raises(StoreError):
        await store.run(Counting("{unpack({}, 1, 100000)}"), (key,))
    assert "the store refuses of this test: Redis: ERR" in caplog.text
    with pytest.raises(StoreError):
        await store.send("LLEN", key)
    assert "the store refuses LLEN: Redis: WRONGTYPE" in caplog.text
