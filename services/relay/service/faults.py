"""Faults of our own code that must not end the work around them: counted, and each logged once."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum, unique
from typing import Any

BEGIN_AGAIN_S = 1.0
MAX_KNOWN = 1_000
"""Number of different faults that are remembered as logged; then all are forgotten."""

Logger = logging.Logger | logging.LoggerAdapter[Any]


@unique
class FaultKind(StrEnum):
    """What was worked on when the fault happened. A label of a metric: the set is fixed."""

    REQUEST = "request"
    FRAME = "frame"
    RESULT = "result"
    LISTENER = "listener"  # whoever is told of a change, or woken by a hint
    LOOP = "loop"  # background work that never ends by itself


class OwnFaults:
    """`count` is told of every fault. The first one at each place of the code is logged, for each server."""

    def __init__(self, count: Callable[[FaultKind], object] = lambda kind: None) -> None:
        self._count = count
        self._known: set[tuple[str, ...]] = set()

    def caught(self, logger: Logger, kind: FaultKind, error: Exception) -> None:
        """An exception that nobody has foreseen was raised, and was kept from spreading."""
        self._count(kind)
        place = traceback.extract_tb(error.__traceback__)[-1:]
        instance = (getattr(logger, "extra", None) or {}).get("instance", "")
        key = kind, str(instance), type(error).__name__, *(f"{at.filename}:{at.lineno}" for at in place)
        if key in self._known:
            return
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known.add(key)
        logger.error("a fault of the program in a %s: logged once, counted each time", kind, exc_info=error)

    @contextmanager
    def kept(self, logger: Logger, kind: FaultKind) -> Iterator[None]:
        """What is raised inside is caught; what follows goes on."""
        try:
            yield
        except Exception as error:
            self.caught(logger, kind, error)

    async def kept_going(self, logger: Logger, loop: Callable[[], Awaitable[None]]) -> None:
        """Runs `loop`, and begins it again a second after each fault; returns if it returns."""
        while True:
            try:
                return await loop()
            except Exception as error:
                self.caught(logger, FaultKind.LOOP, error)
            await asyncio.sleep(BEGIN_AGAIN_S)
