"""A service's life: start, run until told to stop, stop cleanly. The same for modapi and uplink."""

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import Coroutine
from typing import Any

from services.relay.durability import CHECKED_SETTINGS, complaints
from services.relay.errors import ConfigError, StoreError, StoreRefused
from services.relay.settings import Settings
from services.relay.store import Store

if sys.platform == "win32":  # there is no uvloop
    from asyncio import run as run_in_loop
else:
    from uvloop import run as run_in_loop

logger = logging.getLogger(__name__)

ASK_AGAIN_S = 0.5


def run(service: Coroutine[Any, Any, None]) -> None:
    """Runs a service to its end in an event loop of its own."""
    # What is loaded by now stays for good. Looking through it for garbage again and again, as the defaults
    # have it, took a third of the CPU of a busy service.
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    run_in_loop(service)


def store_url(settings: Settings) -> str:
    """Where Redis is. Raises ConfigError when nobody said."""
    if settings.redis.url is None:
        raise ConfigError(
            "redis.url is not set: a single service needs one (`dayz-relay up` brings its own store)"
        )
    return settings.redis.url.get_secret_value()


class _Told(Exception):
    """Somebody sent SIGINT or SIGTERM."""


async def _told_to_stop() -> None:
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(told.set))
    await told.wait()
    raise _Told


async def until_stopped(*parts: Coroutine[Any, Any, None]) -> None:
    """Runs the parts side by side until SIGINT or SIGTERM, or until one fails; then stops them all.

    Each part ends cleanly when it is cancelled. The first failure is raised.
    """
    tasks = [asyncio.create_task(part) for part in (_told_to_stop(), *parts)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception) and not isinstance(outcome, _Told):
            raise outcome


async def trust(store: Store) -> None:
    """Waits for Redis, judges its settings, and opens `store` for use. Raises StoreRefused."""
    said = False
    while True:
        try:
            settings = await store.settings(CHECKED_SETTINGS)
            break
        except StoreError as error:
            if not said:
                logger.warning("waiting for the store: %s", error)
                said = True
            await asyncio.sleep(ASK_AGAIN_S)
    if found := complaints(settings):
        raise StoreRefused("\n".join(found))
    store.open()
    if said:
        logger.info("the store is there")


async def ended(task: asyncio.Task[None]) -> None:
    """Waits for a task that was begun earlier, and ends it when cancelled."""
    await task


async def not_ready(store: Store) -> str:
    """Why this service can't do its work, or "". Takaro being away is no reason: the streams are for that."""
    try:
        await store.ping()
    except StoreError as error:
        return str(error)
    return ""


async def cancelled(task: asyncio.Task[Any]) -> None:
    """Ends a task and waits until it has ended, whatever it says."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await task
