"""What Sentinels tell of a failover while it runs. That nothing is lost by one: test_store.py."""

import asyncio

import pytest

from services.relay.store.refusals import Unreachable
from services.relay.store.sentinels import LEFT_FOR_S, Sentinels, failover_in
from services.relay.store.url import Endpoint, parse
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer, binaries
from tests.support.waiting import until

OLD = Endpoint("10.0.0.1", 6379)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ([b"message", b"+failover-state-select-slave", b"master relay 10.0.0.1 6379"], (OLD, True)),
        ([b"message", b"-failover-abort-no-good-slave", b"master relay 10.0.0.1 6379"], (OLD, False)),
        (
            [b"message", b"-failover-abort-slave-timeout", b"master relay 10.0.0.1 6379 #quorum 2/2"],
            (OLD, False),
        ),
        ([b"message", b"+failover-state-select-slave", b"master another 10.0.0.1 6379"], None),
        (
            [
                b"message",
                b"+failover-state-select-slave",
                b"slave 10.0.0.2:1 10.0.0.2 1 @ relay 10.0.0.1 6379",
            ],
            None,
        ),
        ([b"subscribe", b"+failover-state-select-slave", 1], None),
        ([b"pong", b""], None),
    ],
)
def test_a_failover_is_read_from_what_a_sentinel_publishes(
    message: list[object], told: tuple[Endpoint, bool] | None
) -> None:
    assert failover_in(message, "relay") == told


async def test_a_sentinel_that_refuses_to_tell_is_named_in_the_log_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = RedisServer(binaries()["valkey"], users=["relay on >secret +ping"], port=str(free_port()))
    server.start()
    login = "sentinel_username=relay&sentinel_password=secret"
    sentinels = Sentinels(
        parse(f"redis+sentinel://127.0.0.1:{server.port}/relay?{login}"), leave=list, listen_again_s=0.01
    )
    try:
        with pytest.raises(Unreachable):
            await sentinels.dial(Endpoint())
        await until(lambda: sum(_refused(server)) >= 3)
        [said] = [record.getMessage() for record in caplog.records if "subscribe" in record.getMessage()]
        assert f"127.0.0.1:{server.port}" in said and "Fix: give its user" in said
    finally:
        sentinels.close()
        server.remove()


async def test_a_primary_that_was_left_is_used_again_when_the_next_one_is_replaced() -> None:
    """A Redis plays both the Sentinel, whose answer the proxy gives, and the primary."""
    server = RedisServer(binaries()["valkey"], port=str(free_port()))
    await asyncio.to_thread(server.start)
    async with Proxy("127.0.0.1", server.port) as proxy:
        primary = b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%d\r\n" % (len(str(server.port)), server.port)
        proxy.replaced = lambda reply: primary if b"unknown command" in reply else reply
        sentinels = Sentinels(parse(f"redis+sentinel://127.0.0.1:{proxy.port}/relay"), leave=list)

        async def refusal() -> str:
            try:
                connection, _ = await sentinels.dial(Endpoint())
            except Unreachable as error:
                return str(error)
            connection.close()
            return ""

        def begin_to_replace(place: str) -> int:
            return int(server.ask("PUBLISH", "+failover-state-select-slave", f"master relay {place}"))

        try:
            await until(refusal, met=lambda why: not why)
            await until(lambda: begin_to_replace(f"127.0.0.1 {server.port}"))
            await until(refusal, met=lambda why: "replace" in why)
            begin_to_replace("10.0.0.2 6379")
            await until(refusal, LEFT_FOR_S / 2, met=lambda why: not why)
        finally:
            sentinels.close()
            server.remove()


def _refused(server: RedisServer) -> list[int]:
    """How often each refused SUBSCRIBE was tried."""
    entries = [dict(zip(entry[::2], entry[1::2], strict=True)) for entry in server.ask("ACL", "LOG")]
    return [entry["count"] for entry in entries if entry["object"] == "subscribe"]
