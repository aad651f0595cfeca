"""What is done to single services. Kill points need no line of code in them: a proxy in front of Redis sees
what passes."""

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
    world: World, service: Service, name: str, *slugs: str, request: bytes, reply: bytes | None = None
) -> Fault:
    """Kills `service` when these bytes of a request pass (before Redis has them), or, with `reply`, when such
    a reply comes after it (before the service has it). Needs Shape(proxied=True)."""
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
    """It stands still for so long, while the body goes on; then it wakes."""
    os.kill(service.pid, signal.SIGSTOP)
    end_s = time.monotonic() + seconds
    try:
        yield
        await asyncio.sleep(max(0.0, end_s - time.monotonic()))
    finally:
        os.kill(service.pid, signal.SIGCONT)
