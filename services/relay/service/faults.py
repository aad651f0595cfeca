"""Faults of our own code that must not end the work around them: counted each time, and logged once."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum, unique
from typing import Any

from services.relay.service.logs import about

BEGIN_AGAIN_S = 1.0  # delay after a fault before a loop begins again

Logger = logging.Logger | logging.LoggerAdapter[Any]


@unique
class FaultKind(StrEnum):
    """The work in which a fault happened. It is a label of a metric: the set is fixed."""

    REQUEST = "request"
    FRAME = "frame"
    RESULT = "result"
    LISTENER = "listener"  # code that is called when something changes, or when a hint comes
    LOOP = "loop"  # background work that never ends by itself


class OwnFaults:
    """Calls `count` for every fault. A fault of one instance at one place in the code is logged once."""

    def __init__(self, count: Callable[[FaultKind], object] = lambda kind: None) -> None:
        self._count = count

    def caught(self, logger: Logger, kind: FaultKind, error: Exception) -> None:
        """Counts and logs an unforeseen exception. The caller goes on without raising it."""
        self._count(kind)
        last = traceback.extract_tb(error.__traceback__, limit=-1)
        where = f"{last[0].filename}:{last[0].lineno}" if last else ""
        logger.error(
            "a fault of the program in a %s: logged once, counted each time",
            kind,
            exc_info=error,
            extra=about(f"{kind} {type(error).__name__} {where}", "fault"),
        )

    @contextmanager
    def contain(self, logger: Logger, kind: FaultKind) -> Iterator[None]:
        """Catches, counts and logs exceptions of the block, so that the work around it goes on."""
        try:
            yield
        except Exception as error:
            self.caught(logger, kind, error)

    async def keep_running(
        self, logger: Logger, loop: Callable[[], Awaitable[None]], begin_again_s: float = BEGIN_AGAIN_S
    ) -> None:
        """Runs `loop`, and begins it again some time after each fault; returns if it returns."""
        while True:
            try:
                return await loop()
            except Exception as error:
                self.caught(logger, FaultKind.LOOP, error)
            await asyncio.sleep(begin_again_s)
