"""Has the mod of one instance do something, and says what came of it: a result, or how far it got."""

import asyncio
import contextlib
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from services.relay.protocol.command_states import CommandState
from services.relay.protocol.errors import NotCarriedOut, StoreError
from services.relay.protocol.records import Command, Outcome
from services.relay.protocol.vocabulary import ANSWER_WITHIN_S, HAND_OUT_WITHIN_S
from services.relay.service.clocks import boottime_s, next_beat_s
from services.relay.service.faults import FaultKind
from services.relay.service.logs import InstanceLogger
from services.relay.service.stalls import Stalls
from services.relay.store.client import patiently
from services.relay.store.command_stream import KEEP_MS, CommandStream
from services.relay.store.leases import Lease
from services.uplink.connection.closing_times import ClosingTimes
from services.uplink.reporting.metrics import UplinkMetrics
from services.uplink.requests.mod_contact import Contact
from services.uplink.takaro import failures
from services.uplink.takaro.failures import CommandFailure

READ_RESULTS = 200
LOOK_AGAIN_S = 0.25
"""Without the lease nobody looks for us at what a lost hint left lying."""

REFRESHED_EVERY_S = 0.25
"""Results that nobody waits for are read together, those of all instances at the same moments."""

CLAIMED_WITHIN_S = 10.0
"""What nobody has claimed by then, nobody will: Takaro has given up."""

GIVE_UP_WITHIN_S = 0.7
"""What is left of Takaro's 10 s after ANSWER_WITHIN_S, less the way of the answer."""

READ_WITHIN_S = 0.2
"""Time to read a result that came in at the last moment."""


logger = logging.getLogger(__name__)


def _result() -> "asyncio.Future[Outcome | CommandFailure]":
    return asyncio.get_running_loop().create_future()


@dataclass(eq=False, slots=True)
class _Pending:
    """A command that is under way, from the request until its end is known."""

    result: "asyncio.Future[Outcome | CommandFailure]" = field(default_factory=_result)
    waiting: asyncio.Timeout | None = None


class CommandQueue:
    """The commands of one instance that wait for the mod.

    While an instance moves, two uplinks ask: each claims the results of its own commands, which it knows by
    their ids, and leaves the others.
    """

    def __init__(
        self,
        stream: CommandStream,
        contact: Contact,
        lease: Lease,
        metrics: UplinkMetrics,
        stalls: Stalls,
        passed: Callable[
            [Command, Outcome | CommandFailure, float], object
        ] = lambda command, result, took_s: None,
    ) -> None:
        self._stream = stream
        self._contact = contact
        self._lease = lease
        self._metrics = metrics
        self._stalls = stalls
        self._passed = passed
        self._logger = InstanceLogger(logger, lease.slug)
        self._pending: dict[str, _Pending] = {}  # by operation id
        self._closing = False
        self._fetched_by_s = self._answered_by_s = math.inf
        self._urgent = 0  # so many of them somebody waits for
        self._wake = asyncio.Event()
        self._soon: asyncio.TimerHandle | None = None
        self._through = ""  # the last entry that was read
        self._found_s = 0.0
        self._unclaimed: OrderedDict[str, float] = OrderedDict()  # entry -> since when

    def wake(self) -> None:
        """There may be results."""
        if self._urgent or not self._lease.held:
            self._wake.set()
        elif self._soon is None:
            loop = asyncio.get_running_loop()
            self._soon = loop.call_at(next_beat_s(loop.time(), REFRESHED_EVERY_S), self._wake.set)

    async def ask(self, command: Command, *, somebody_waits: bool = True) -> Outcome | CommandFailure:
        """Puts a command on its way and waits for what comes of it, no longer than ANSWER_WITHIN_S.

        If this process stood still before, the request may have waited unread, and has so much less time.
        """
        begun_s = time.monotonic() - self._stalls.waited_s(boottime_s())
        result = await self._ask(command, begun_s, somebody_waits=somebody_waits)
        with self._metrics.service.faults.kept(self._logger, FaultKind.LISTENER):
            self._passed(command, result, time.monotonic() - begun_s)
        return result

    async def _ask(
        self, command: Command, begun_s: float, *, somebody_waits: bool
    ) -> Outcome | CommandFailure:
        if self._closing and not (somebody_waits and time.monotonic() < self._fetched_by_s):
            return failures.closing_times()
        pending = self._pending[command.operation_id] = _Pending()
        self._urgent += somebody_waits
        if not self._lease.held:
            self.wake()  # from now on it looks by itself
        hand_out_by_s = min(begun_s + HAND_OUT_WITHIN_S, self._fetched_by_s)
        queued = False
        try:
            if hand_out_by_s <= time.monotonic():
                return failures.closing_times() if self._closing else failures.stood_still()
            answer_by_s = min(begun_s + ANSWER_WITHIN_S, self._answered_by_s)
            async with asyncio.timeout(answer_by_s - time.monotonic()) as pending.waiting:
                if not await self._stream.enqueue(command, hand_out_by_s, somebody_waits=somebody_waits):
                    self._metrics.beyond("open_commands")
                    return failures.queue_full()
                queued = True
                if self._fetched_by_s <= time.monotonic():
                    await self._refuse(command.operation_id)
                # Not the future itself: the end of the time would cancel it, and a last result find nobody.
                await asyncio.wait([pending.result])
                return pending.result.result()
        except NotCarriedOut as error:
            return failures.store_refused(str(error))
        except (StoreError, TimeoutError):
            return await self._give_up(command.operation_id, pending, in_doubt=not queued)
        except asyncio.CancelledError:
            self._stream.abandon(command.operation_id)
            raise
        finally:
            del self._pending[command.operation_id]
            self._urgent -= somebody_waits

    async def _give_up(
        self, operation_id: str, pending: _Pending, *, in_doubt: bool
    ) -> Outcome | CommandFailure:
        """Time is up: from now on the command is not handed out any more. How far did it come?"""
        try:
            async with asyncio.timeout(GIVE_UP_WITHIN_S):
                fate = await self._stream.give_up(operation_id, in_doubt=in_doubt)
        except (StoreError, TimeoutError):
            return failures.store_away()
        if fate is None:  # the mod has answered, and its result is not read yet
            self._wake.set()
            await asyncio.wait([pending.result], timeout=READ_WITHIN_S)
            return pending.result.result() if pending.result.done() else failures.no_result()
        if fate is CommandState.EXPIRED and self._closing:
            return failures.closing_times()
        if fate is CommandState.EXPIRED:
            return failures.not_delivered(self._contact.silent_s)
        return failures.no_result()

    async def leave(self, closing_times: ClosingTimes) -> None:
        """Ends each open command by the moments of `closing_times`. No refresh is begun any more."""
        self._closing = True
        self._fetched_by_s, self._answered_by_s = closing_times.fetched_by_s, closing_times.answered_by_s
        loop = asyncio.get_running_loop()
        end_s = loop.time() + closing_times.answered_by_s - time.monotonic()
        for pending in self._pending.values():
            if pending.waiting and not pending.waiting.expired():
                pending.waiting.reschedule(min(end_s, pending.waiting.when() or end_s))
        self.wake()  # from now on it looks by itself
        await asyncio.sleep(closing_times.fetched_by_s - time.monotonic())
        await asyncio.gather(*map(self._refuse, list(self._pending)))

    async def _refuse(self, operation_id: str) -> None:
        """Ends a command that no poll has fetched."""
        with contextlib.suppress(StoreError):  # then it ends when its time is up
            fate = await self._stream.give_up(operation_id, unfetched_only=True)
            pending = self._pending.get(operation_id)
            if fate is CommandState.EXPIRED and pending and not pending.result.done():
                pending.result.set_result(failures.closing_times())

    async def pass_results_on(self) -> None:
        """Hands what mods answered to whoever waits for it. Never returns."""
        while True:
            self._wake.clear()
            if self._soon:
                self._soon.cancel()
                self._soon = None
            found = await patiently(self._read)
            await patiently(self._clear_up)
            if not found:
                await self._woken()

    async def _woken(self) -> None:
        alone = self._pending and not self._lease.held
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AGAIN_S if alone else None):
                await self._wake.wait()

    async def _read(self) -> int:
        """How many results were found; our own are passed on, and taken off the stream. Raises StoreError."""
        now_s = time.monotonic()
        if now_s - self._found_s > KEEP_MS / 1000:
            self._through = ""  # the stream may have expired, and begun anew with lower ids
        found = await self._stream.results(self._through, READ_RESULTS)
        ours = []
        for entry, operation_id, outcome in found:
            pending = self._pending.get(operation_id)
            if pending and not pending.result.done():
                pending.result.set_result(outcome)
                ours.append(entry)
            else:
                self._unclaimed.setdefault(entry, now_s)
        if found:
            self._through, self._found_s = found[-1][0], now_s
        if ours:
            self._stream.claim(ours)
        return len(found)

    async def _clear_up(self) -> None:
        """Takes off what nobody claimed in time. It is the owner who counts it. Raises StoreError."""
        overdue_s = time.monotonic() - CLAIMED_WITHIN_S
        while self._unclaimed and next(iter(self._unclaimed.values())) < overdue_s:
            entry = next(iter(self._unclaimed))
            if self._lease.held:
                self._metrics.unclaimed.inc(await self._stream.take_off(entry))
            del self._unclaimed[entry]
