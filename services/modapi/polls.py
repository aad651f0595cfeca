"""Answers the polls of one instance: at once if a command waits, otherwise held as held_polls.py allows."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

from services.modapi.commands import ModCommands
from services.modapi.held_polls import EARLY_S, FALL_BACK_S, GIVEN_UP, Ending, HoldRules
from services.modapi.metrics import ModapiMetrics
from services.relay.protocol.records import Command
from services.relay.service.logs import InstanceLogger
from services.relay.store.calls import abandon

GATHER_S = 0.01
"""Takaro sends several requests at once. Commands that follow the first one this soon go out with it; others
wait for the mod's next poll, up to two seconds later."""

OVERDUE_S = 0.5
"""If a mod gives up a poll this long after its answer was due, the hold is not the reason."""

NOTHING = b'{"operations":[]}'


class Polled(NamedTuple):
    """The answer to a poll, None if the mod has hung up, and how long the poll was held on purpose."""

    answer: bytes | None
    held_s: float = 0.0


class _Poll:
    """One poll while it is under way. `gone`: its mod has hung up."""

    def __init__(self, still_waits: Callable[[float], Awaitable[None]]) -> None:
        self.still_waits = still_waits
        self.news = asyncio.Event()
        self.hold_s = 0.0  # how long it is held, 0: it is not
        self.began_s = 0.0
        self.ending: Ending | None = None
        self.gone = False
        self.taking: asyncio.Task[list[Command]] | None = None


class Polls:
    """Holds one poll at a time, and none before `open`: without hints, a command would wait for its end."""

    def __init__(
        self, commands: ModCommands, hold_polls_s: float, metrics: ModapiMetrics, logger: InstanceLogger
    ) -> None:
        self._commands = commands
        self.rules = HoldRules(hold_polls_s)
        self._held = metrics.held
        self._logger = logger
        self._open = False
        self._poll: _Poll | None = None

    def open(self) -> None:
        """Allows holds: hints of new commands arrive from now on."""
        self._open = True

    def close(self) -> None:
        """Answers the held poll, and allows no holds: hints do not arrive any more, or the service stops."""
        self._open = False
        if self._poll:
            self._end(self._poll, Ending.EMPTY)

    @property
    def is_open(self) -> bool:
        return self._open

    @property
    def is_holding(self) -> bool:
        """Whether a poll is held now."""
        return self._poll is not None and self._poll.hold_s > 0 and self._poll.ending is None

    def wake(self) -> None:
        """Makes the held poll look for commands: there may be one."""
        if self._poll:
            self._poll.news.set()

    async def answer(
        self,
        hung_up: Callable[[], Coroutine[Any, Any, None]],
        still_waits: Callable[[float], Awaitable[None]],
    ) -> Polled:
        """Answers a poll whose mod still waits. `hung_up` ends when the mod is gone.

        `still_waits(held_s)` is called before and after each look for commands. It raises if the mod has
        given up a poll that is held for `held_s`. Raises StoreError.
        """
        if self._poll:
            self._end(self._poll, Ending.SUPERSEDED)
        poll = self._poll = _Poll(still_waits)  # before looking: a hint that comes meanwhile is not lost
        # Refreshes go out at the end of a hold: an answer now would leave the mod deaf until its next poll.
        holds = self._open and self.rules.allowed_s(time.monotonic()) > 0
        watch = asyncio.create_task(hung_up())
        watch.add_done_callback(lambda watched: None if watched.cancelled() else self._hung_up(poll))
        try:
            found = await self._look(poll, refreshes_alone=not holds)
            if poll.gone:
                return Polled(None)
            if found or self._poll is not poll or not self._open:
                return Polled(found or NOTHING)
            poll.began_s = time.monotonic()
            poll.hold_s = self.rules.begin(poll.began_s)
            return await self._hold(poll) if poll.hold_s else Polled(NOTHING)
        finally:
            self._end(poll, Ending.EMPTY)  # the store failed in the middle, or this process stood still
            watch.cancel()

    async def _hold(self, poll: _Poll) -> Polled:
        held_s, found = 0.0, b""
        while held_s < poll.hold_s and not found:
            try:
                async with asyncio.timeout(poll.hold_s - held_s):
                    await poll.news.wait()
                    poll.news.clear()
                    await asyncio.sleep(GATHER_S)
            except TimeoutError:
                pass  # a hint may have been lost: look all the same
            held_s = time.monotonic() - poll.began_s
            if poll.ending:
                break
            found = await self._look(poll, refreshes_alone=held_s >= poll.hold_s)
        self._end(poll, Ending.COMMAND if found else Ending.EMPTY)
        return Polled(None if poll.gone else found or NOTHING, held_s)

    async def _look(self, poll: _Poll, *, refreshes_alone: bool) -> bytes:
        """The answer if there are commands, b"" if there are none or the mod hung up. Raises StoreError."""
        held_s = poll.hold_s + EARLY_S if poll.hold_s else 0.0
        await poll.still_waits(held_s)
        is_over = poll.gone or poll.ending is not None or self._poll is not poll
        if is_over:
            return b""
        taking = poll.taking = asyncio.create_task(
            self._commands.stream.take(refreshes_alone=refreshes_alone)
        )
        try:
            await asyncio.wait([taking])
        finally:
            poll.taking = None
            abandon(taking)  # if this task itself is cancelled
        commands = [] if taking.cancelled() else taking.result()
        try:
            await poll.still_waits(held_s)
        except BaseException:
            self._commands.stream.hand_back(commands)
            raise
        if poll.gone:
            self._commands.stream.hand_back(commands)
            commands = []
        return self._commands.poll_answer(commands)

    def _hung_up(self, poll: _Poll) -> None:
        """The mod is gone. Ends a look that is under way: commands that it takes would be lost."""
        poll.gone = True
        if poll.taking:
            poll.taking.cancel()
        self._end(poll, Ending.HUNG_UP)

    def _end(self, poll: _Poll, ending: Ending) -> None:
        """Notes how a held poll ended. Only the first call for a poll counts."""
        if not poll.hold_s or poll.ending:
            return
        now_s = time.monotonic()
        if ending in GIVEN_UP and now_s > poll.began_s + poll.hold_s + OVERDUE_S:
            ending = Ending.OVERDUE
        poll.ending = ending
        poll.news.set()
        self._held.labels(ending.value).inc()
        if self.rules.end(now_s, ending):
            self._logger.info("the mod gave up a held poll: none is held for %.0f s", FALL_BACK_S)
