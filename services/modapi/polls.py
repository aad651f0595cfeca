"""The polls of one instance: answered at once when a command waits, else held as held_polls.py allows."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

from services.modapi.commands import ModCommands
from services.modapi.held_polls import EARLY_S, FALL_BACK_S, GIVEN_UP, Ending, HoldRules
from services.modapi.http.bodies import ANSWERED_WITHIN_S
from services.modapi.metrics import ModapiMetrics
from services.relay.protocol.records import Command
from services.relay.service.logs import InstanceLogger
from services.relay.store.calls import disregard

GATHER_S = 0.01
"""Takaro asks several things in one breath. What comes this soon after the first command goes out with it;
the rest waits for the mod's next poll, up to two seconds later."""

OVERDUE_S = 0.5
"""A mod that gives up a poll this long after its answer was due does not do so because it was held."""

NOTHING = b'{"operations":[]}'


StillWaits = Callable[[], Awaitable[None]]
"""Raises if the mod has given up the poll, also while this process stood still."""


class Polled(NamedTuple):
    """The answer to a poll, None when the mod has hung up, and for how long it was held on purpose."""

    answer: bytes | None
    held_s: float = 0.0


class _Poll:
    """One poll while it is under way. `gone` once its mod has hung up."""

    def __init__(self) -> None:
        self.news = asyncio.Event()
        self.holds = False
        self.due_s = 0.0
        self.ending: Ending | None = None
        self.gone = False
        self.taking: asyncio.Task[list[Command]] | None = None

    def hung_up(self) -> None:
        """What is taken for a mod that is gone is lost: a look that is under way for it is ended."""
        self.gone = True
        if self.taking:
            self.taking.cancel()


class Polls:
    """Holds one poll at a time. Holds none until `open`: without hints a command would wait for the end."""

    def __init__(
        self, operations: ModCommands, hold_polls_s: float, metrics: ModapiMetrics, logger: InstanceLogger
    ) -> None:
        self._operations = operations
        self._rules = HoldRules(hold_polls_s)
        self._held = metrics.held
        self._logger = logger
        self._open = False
        self._poll = _Poll()

    def open(self) -> None:
        """From now on hints of new commands arrive."""
        self._open = True

    def close(self) -> None:
        """Hints do not arrive any more, or the service stops: the held poll is answered, none is held."""
        self._open = False
        self._end(self._poll, Ending.EMPTY)

    @property
    def hold_ms(self) -> int:
        """For so long a poll that finds nothing may be held now."""
        return round(self._rules.allowed_s(time.monotonic()) * 1000)

    def wake(self) -> None:
        """There may be a command."""
        self._poll.news.set()

    def called(self, *, events: bool) -> None:
        """The mod made another call than a poll."""
        if self._rules.called(time.monotonic(), events=events):
            self._logger.info("events queue up behind held polls: none is held for %.0f s", FALL_BACK_S)

    async def answer(
        self,
        hung_up: Callable[[], Coroutine[Any, Any, None]],
        still_waits: Callable[[float], Awaitable[None]],
    ) -> Polled:
        """Answers a poll that was found to wait still; `hung_up` ends when its mod is gone.

        `still_waits(within_s)` is asked again before each later look for commands, and stops it by raising.
        Raises StoreError.
        """
        self._end(self._poll, Ending.SUPERSEDED)
        poll = self._poll = _Poll()  # before looking: a hint that comes meanwhile is not lost
        # What nobody waits for can go at the end of a hold: it would leave the mod deaf until its next poll.
        holds = self._open and self._rules.allowed_s(time.monotonic()) > 0
        watch = asyncio.create_task(hung_up())
        watch.add_done_callback(lambda watched: None if watched.cancelled() else self._hung_up(poll))
        try:
            found = await self._look(poll, lambda: still_waits(ANSWERED_WITHIN_S), refreshes_alone=not holds)
            if poll.gone:
                return Polled(None)
            if found or self._poll is not poll or not self._open:
                return Polled(found or NOTHING)
            now_s = time.monotonic()
            hold_s = self._rules.begin(now_s)
            if not hold_s:
                return Polled(NOTHING)
            poll.holds, poll.due_s = True, now_s + hold_s
            within_s = max(ANSWERED_WITHIN_S, hold_s + EARLY_S)
            return await self._hold(poll, now_s, hold_s, lambda: still_waits(within_s))
        finally:
            self._end(poll, Ending.EMPTY)  # the store failed in the middle, or this process stood still
            watch.cancel()

    async def _look(self, poll: _Poll, still_waits: StillWaits, *, refreshes_alone: bool) -> bytes:
        """What there is for the mod; b"" when nothing is, or it hung up meanwhile. Raises StoreError."""
        await still_waits()
        if self._is_over(poll):
            return b""
        taking = poll.taking = asyncio.create_task(self._operations.take(refreshes_alone=refreshes_alone))
        try:
            await asyncio.wait([taking])
        finally:
            poll.taking = None
            disregard(taking)  # if we are cancelled ourselves
        commands = [] if taking.cancelled() else taking.result()
        try:
            await still_waits()
        except BaseException:
            self._operations.hand_back(commands)
            raise
        if poll.gone:
            self._operations.hand_back(commands)
            commands = []
        return self._operations.answer(commands)

    def _is_over(self, poll: _Poll) -> bool:
        return poll.gone or poll.ending is not None or self._poll is not poll

    def _hung_up(self, poll: _Poll) -> None:
        poll.hung_up()
        self._end(poll, Ending.HUNG_UP)

    async def _hold(self, poll: _Poll, began_s: float, hold_s: float, still_waits: StillWaits) -> Polled:
        held_s, found = 0.0, b""
        while held_s < hold_s and not found:
            try:
                async with asyncio.timeout(hold_s - held_s):
                    await poll.news.wait()
                    poll.news.clear()
                    await asyncio.sleep(GATHER_S)
            except TimeoutError:
                pass  # a hint may be lost: look all the same
            held_s = time.monotonic() - began_s
            if poll.ending:
                break
            found = await self._look(poll, still_waits, refreshes_alone=held_s >= hold_s)
        self._end(poll, Ending.COMMAND if found else Ending.EMPTY)
        return Polled(None if poll.gone else found or NOTHING, held_s)

    def _end(self, poll: _Poll, ending: Ending) -> None:
        """Notes how a held poll ended; the first word counts."""
        if not poll.holds or poll.ending:
            return
        if ending in GIVEN_UP and time.monotonic() > poll.due_s + OVERDUE_S:
            ending = Ending.OVERDUE
        poll.ending = ending
        poll.news.set()
        self._held.labels(ending.value).inc()
        if self._rules.end(time.monotonic(), ending):
            self._logger.info("the mod gave up a held poll: none is held for %.0f s", FALL_BACK_S)
