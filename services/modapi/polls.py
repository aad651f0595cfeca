"""Answers the polls of one instance: at once if a command waits, otherwise held as hold_rules.py allows."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from services.modapi.commands import ModCommands
from services.modapi.hold_rules import EARLY_S, FALL_BACK_S, GIVEN_UP, Ending, HoldRules
from services.modapi.metrics import ModapiMetrics
from services.relay.protocol.records import Command
from services.relay.service.arrivals import ALIVE_EVERY_S, CallerConnection
from services.relay.service.clocks import TIMER_EARLY_S, next_shared_s
from services.relay.service.logs import InstanceLogger
from services.relay.store.calls import has_value

GATHER_S = 0.01
"""Takaro sends several requests at once. Commands that follow the first one this soon go out with it; others
wait for the mod's next poll, up to two seconds later."""

ASK_AGAIN_S = 1.0
"""A poll soon after an empty answer of Redis is held without asking again, unless a hint came. Redis is asked
again after this time at the latest: a hint may have been lost."""

SHARED_S = ALIVE_EVERY_S
"""Those next calls fall on moments that are this far apart, the same for all instances: they share a round
trip, and a wake-up with all else that modapi does at such moments."""

OVERDUE_S = 0.5
"""If a mod gives up a poll this long after its answer was due, the hold is not the reason."""

NOTHING = b'{"operations":[]}'


class Polled(NamedTuple):
    """The answer to a poll, None if the mod has hung up, and how long the poll was held on purpose."""

    answer: bytes | None
    held_s: float = 0.0


@dataclass(slots=True, eq=False)
class _Poll:
    """One poll while it is under way. `gone`: its mod has hung up."""

    raise_if_given_up: Callable[[float], Awaitable[None]]
    hinted: bool = False  # since Redis was last asked
    hold_s: float = 0.0  # how long it is held, 0: it is not
    began_s: float = 0.0
    ending: Ending | None = None
    gone: bool = False
    taking: asyncio.Task[list[Command]] | None = None
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    """Ends its wait: a hint came, it is time to ask Redis, or the poll has ended."""


class Polls:
    """Holds one poll at a time, and none before `open`: without hints, a command would wait for its end."""

    def __init__(
        self, commands: ModCommands, hold_polls_s: float, metrics: ModapiMetrics, logger: InstanceLogger
    ) -> None:
        self._commands = commands
        self.rules = HoldRules(hold_polls_s)
        self._held = metrics.held
        self._logger = logger
        self.is_open = False
        self._poll: _Poll | None = None
        self._empty_s = 0.0  # when Redis was last asked, 0: it had something, or a hint came since

    def open(self) -> None:
        """Allows holds: hints of new commands arrive from now on."""
        if not self.is_open:
            self.is_open, self._empty_s = True, 0.0

    def close(self) -> None:
        """Answers the held poll, and allows no holds: hints do not arrive any more, or the service stops."""
        self.is_open = False
        if self._poll:
            self._end(self._poll, Ending.EMPTY)

    def wake(self) -> None:
        """Makes the held poll ask for commands, or the next one: there may be one."""
        self._empty_s = 0.0
        if poll := self._poll:
            poll.hinted = True
            poll.woken.set()

    async def answer(
        self,
        connection: CallerConnection,
        raise_if_given_up: Callable[[float], Awaitable[None]],
    ) -> Polled:
        """Answers a poll whose mod has not hung up before this call.

        `raise_if_given_up(held_s)` is called before and after each call of Redis. It raises if the mod has
        given up a poll that is held for `held_s`. Raises StoreError.
        """
        if self._poll:
            self._end(self._poll, Ending.SUPERSEDED)
        # Before Redis is asked: a hint that comes meanwhile is not lost.
        poll = self._poll = _Poll(raise_if_given_up)
        connection.on_gone = partial(self._hung_up, poll)
        now_s = time.monotonic()
        # Refreshes go out at the end of a hold: after an answer, nothing reaches the mod until its next poll.
        allowed_s = self.rules.allowed_s(now_s) if self.is_open else 0.0
        ask_s = next_shared_s(self._empty_s + ASK_AGAIN_S - SHARED_S, SHARED_S) if allowed_s else now_s
        found = b""
        try:
            if ask_s <= now_s or ask_s > self._empty_s + allowed_s:
                ask_s = math.inf
                found = await self._take(poll, refreshes_alone=not allowed_s)
            if poll.gone:
                return Polled(None)
            if found or self._poll is not poll or not self.is_open:
                return Polled(found or NOTHING)
            poll.began_s = time.monotonic()
            poll.hold_s = self.rules.begin(poll.began_s)
            return await self._hold(poll, ask_s) if poll.hold_s else Polled(NOTHING)
        finally:
            connection.on_gone = None
            if self._poll is poll:
                self._poll = None

    async def _hold(self, poll: _Poll, ask_s: float) -> Polled:
        """Asks Redis for commands after each hint, at `ask_s`, and at the end of the hold."""
        held_s, found = 0.0, b""
        try:
            while held_s < poll.hold_s and not found:
                until_s = min(ask_s, poll.began_s + poll.hold_s) + TIMER_EARLY_S
                timer = asyncio.get_running_loop().call_at(until_s, poll.woken.set)
                try:
                    await poll.woken.wait()
                finally:
                    timer.cancel()
                if poll.hinted and not poll.ending:
                    await asyncio.sleep(GATHER_S)
                held_s, ask_s = time.monotonic() - poll.began_s, math.inf
                if poll.ending:
                    break
                found = await self._take(poll, refreshes_alone=held_s >= poll.hold_s)
        finally:  # also if the store failed in the middle, or this process stood still
            self._end(poll, Ending.COMMAND if found else Ending.EMPTY)
        return Polled(None if poll.gone else found or NOTHING, held_s)

    async def _take(self, poll: _Poll, *, refreshes_alone: bool) -> bytes:
        """The answer if there are commands, b"" if there are none or the poll is over. Raises StoreError."""
        held_s = poll.hold_s + EARLY_S if poll.hold_s else 0.0
        await poll.raise_if_given_up(held_s)
        is_over = poll.gone or poll.ending is not None or self._poll is not poll
        if is_over:
            return b""
        poll.hinted, self._empty_s, begun_s = False, 0.0, time.monotonic()
        poll.woken.clear()
        taking = poll.taking = asyncio.create_task(
            self._commands.stream.take(refreshes_alone=refreshes_alone)
        )
        try:
            await asyncio.wait([taking])
        except asyncio.CancelledError:
            taking.cancel()
            if has_value(taking):  # it ended a moment before: it does not hand them back itself
                self._commands.stream.hand_back(taking.result())
            raise
        finally:
            poll.taking = None
        commands = [] if taking.cancelled() else taking.result()
        try:
            await poll.raise_if_given_up(held_s)
        except BaseException:
            self._commands.stream.hand_back(commands)
            raise
        if poll.gone or self._poll is not poll:  # a mod that polls anew may not read this answer any more
            self._commands.stream.hand_back(commands)
            commands = []
        if not commands and not poll.hinted and self._poll is poll and not taking.cancelled():
            self._empty_s = begun_s
        return self._commands.poll_answer(commands)

    def _hung_up(self, poll: _Poll) -> None:
        """The mod is gone. Ends a call of Redis that is under way: commands that it takes would be lost."""
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
        poll.woken.set()
        self._held.labels(ending).inc()
        if self.rules.end(now_s, ending):
            self._logger.info("the mod gave up a held poll: none is held for %.0f s", FALL_BACK_S)
