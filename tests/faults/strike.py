"""Kills or freezes a service. No code in the service helps to kill it at a certain point: a proxy in front of
Redis sees when it gets there."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.faults.ledger import Fault
from tests.faults.world import World
from tests.support.relay_process import Service

STRIKES_WITHIN_S = 30.0


async def kill_at(
    world: World, service: Service, name: str, *slugs: str, request: bytes = b"", reply: bytes | None = None
) -> Fault:
    """Kill `service` when it sends the bytes of `request`, before Redis gets them. With `reply`: when Redis
    sends those bytes after that, before the service gets them. Needs Shape(proxied=True)."""
    proxy = world.redis_of[service.label]
    struck: asyncio.Future[Fault] = asyncio.get_running_loop().create_future()
    armed = False

    def strike() -> None:
        if not struck.done():
            service.kill()
            struck.set_result(world.fault(name, *slugs))

    def on_request(piece: bytes) -> None:
        nonlocal armed
        if request in piece:
            armed = True
            if reply is None:
                strike()

    def on_reply(piece: bytes) -> None:
        if armed and reply is not None and reply in piece:
            strike()

    proxy.on_request, proxy.on_reply = on_request, on_reply
    try:
        async with asyncio.timeout(STRIKES_WITHIN_S):
            fault = await struck
    finally:
        proxy.on_request = proxy.on_reply = lambda piece: None
    world.run.outcome.kills[service.name] += 1
    await service.ended()
    return fault


@asynccontextmanager
async def frozen(service: Service, seconds: float) -> AsyncIterator[None]:
    """Freeze a service for this time while the body runs, then let it continue."""
    os.kill(service.pid, signal.SIGSTOP)
    end_s = time.monotonic() + seconds
    try:
        yield
        await asyncio.sleep(max(0.0, end_s - time.monotonic()))
    finally:
        os.kill(service.pid, signal.SIGCONT)
