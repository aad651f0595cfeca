"""Starts a service, runs it until a signal, and stops it cleanly. The same for modapi and uplink."""

import asyncio
import gc
import logging
import sys
from collections.abc import Awaitable, Coroutine
from typing import Any

from prometheus_client import disable_created_metrics

from services.relay.protocol.errors import ConfigError, StoreError, StoreRefused
from services.relay.service.clocks import until_shared_s
from services.relay.service.logs import CHANGE
from services.relay.service.metrics import ServiceMetrics
from services.relay.service.settings import Settings
from services.relay.service.stop_signals import on_stop_signals
from services.relay.store.client import Store

if sys.platform == "win32":  # there is no uvloop
    from asyncio import new_event_loop
else:
    from services.relay.service.event_loop import Loop as new_event_loop

logger = logging.getLogger(__name__)

ASK_AGAIN_S = 0.5
JUDGE_EVERY_S = 10.0


def run(service: Coroutine[Any, Any, None]) -> None:
    # All objects that exist by now stay. With the defaults, the garbage collector looked through them again
    # and again, which took a third of the CPU of a busy service.
    gc.freeze()
    collect_garbage_for(0)
    # The time when each counter began: a third of all series, and nobody needs them.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(service)


def collect_garbage_for(instances: int) -> None:
    """Sets how many objects may be made before the garbage collector looks through them.

    Takaro's burst asks for all players of all servers at one moment. With a fixed number, the collector ran
    through each burst dozens of times, found nothing, and held the loop for 10 to 100 ms each time: 11 % of
    uplink's CPU with 1,000 servers. There is hardly any garbage in cycles: 14 objects for each new socket.
    """
    gc.set_threshold(10_000 + 2_000 * instances, 2, 2)


def store_of(settings: Settings, metrics: ServiceMetrics) -> Store:
    """The store of these settings, not opened yet. Raises ConfigError if they have no address of Redis."""
    if settings.redis.url is None:
        raise ConfigError(
            "redis.url is not set: a single service needs one (`dayz-relay up` brings its own store)"
        )
    return Store(
        settings.redis.url.get_secret_value(),
        opened=False,
        replicas=settings.redis.replicas,
        relaxed=settings.redis.durability == "relaxed",
        took=metrics.round_trip,
    )


async def until_stopped(*parts: Awaitable[None]) -> None:
    """Runs the parts, some of which may be tasks already, side by side until SIGINT or SIGTERM, or until one
    fails; then stops them all.

    Each part ends cleanly when it is cancelled. The first failure is raised.
    """
    tasks = [asyncio.ensure_future(part) for part in parts]
    waiting = asyncio.ensure_future(asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION))
    on_stop_signals(waiting.cancel)
    await asyncio.wait([waiting])
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome


async def trust(store: Store) -> None:
    """Waits for Redis, checks every primary, and opens `store` for use. Raises StoreRefused."""
    said = False
    while True:
        try:
            facts = await store.inspect()
            break
        except StoreError as error:
            if not said:
                logger.warning("waiting for the store: %s", error)
            said = True
        await asyncio.sleep(ASK_AGAIN_S)
    if found := facts.refusals():
        raise StoreRefused("\n".join(found))
    store.open()
    logger.info("the store is there: %s", facts.summary())
    for loss in facts.losses():
        logger.warning("accepted by redis.durability = relaxed: %s", loss)


async def watch(store: Store, metrics: ServiceMetrics, judge_every_s: float = JUDGE_EVERY_S) -> None:
    """Checks the store again and again, logs each change, and sets the metrics. Never returns. Settings of
    Redis may change, and a replica that takes over has its own."""
    refusals: list[str] = []
    away = False
    while True:
        try:
            facts = await store.inspect()
        except StoreError as error:
            metrics.store_ready.set(0)
            if not away:
                logger.warning("the store is away: %s", error, extra=CHANGE)
            away = True
        else:
            if away:
                logger.info("the store is back: %s", facts.summary())
            away = False
            metrics.store_answered(store)
            found = facts.refusals()
            for line in found:
                if line not in refusals:
                    logger.error("events are refused until this is mended: %s", line, extra=CHANGE)
            if refusals and not found:
                logger.info("the store is good again: %s", facts.summary())
            refusals = found
        await asyncio.sleep(ASK_AGAIN_S if away else until_shared_s(judge_every_s))


async def cancelled(task: asyncio.Task[Any] | None) -> None:
    """Cancels a task, if there is one, and waits until it has ended, whatever it raises.

    If the caller itself is cancelled meanwhile, that is raised as usual. To await the task and suppress its
    CancelledError would suppress the caller's too.
    """
    if task is None:
        return
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # otherwise asyncio reports it as never retrieved
