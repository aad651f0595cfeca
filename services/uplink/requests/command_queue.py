"""Queues commands for the mod of one instance, and returns the mod's result or how far the command came."""

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

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
from services.uplink.requests.mod_contact import ModContact
from services.uplink.takaro import failures
from services.uplink.takaro.failures import CommandFailure

READ_RESULTS = 200
LOOK_AGAIN_S = 0.25
"""Interval of reading results without the lease: only the owner's lease renewals make up for a lost hint."""

REFRESH_RESULTS_EVERY_S = 0.25
"""Results of refreshes are read together, for all instances at the same moments."""

PICKED_UP_WITHIN_S = 10.0
"""A result that no request has received by then is deleted: Takaro has given the request up."""

GIVE_UP_WITHIN_S = 0.7
"""The rest of Takaro's 10 s after ANSWER_WITHIN_S, less the time that the answer needs."""

READ_WITHIN_S = 0.2
"""Time to read a result that arrived at the last moment."""

logger = logging.getLogger(__name__)

CommandResult = Outcome | CommandFailure


@dataclass(eq=False, slots=True)
class _Pending:
    """A command from its request until its end is known."""

    result: "asyncio.Future[CommandResult]"
    timeout: asyncio.Timeout | None = None


class CommandQueue:
    """The commands of one instance that wait for the mod.

    While an instance moves, two uplinks queue commands. Each of them knows the ids of its own commands,
    takes their results and leaves the others. `ended` is called with each command, its result and how many
    seconds it took.
    """

    def __init__(
        self,
        stream: CommandStream,
        contact: ModContact,
        lease: Lease,
        metrics: UplinkMetrics,
        stalls: Stalls,
        ended: Callable[[Command, CommandResult, float], object] = lambda command, result, took_s: None,
    ) -> None:
        self.contact = contact
        self.lease = lease
        self._stream = stream
        self._metrics = metrics
        self._stalls = stalls
        self._ended = ended
        self._pending: dict[str, _Pending] = {}  # by operation id
        self._leaving: ClosingTimes | None = None
        self._results = _ResultReader(stream, lease, metrics, self._pending)
        self.wake = self._results.wake
        self.pass_results_on = self._results.run

    async def ask(self, command: Command, *, request_waits: bool = True) -> CommandResult:
        """Queues a command and waits for its result, no longer than ANSWER_WITHIN_S.

        If this process stood still before, the request may have waited unread, and has that much less time.
        """
        begun_s = time.monotonic() - self._stalls.waited_s(boottime_s())
        pending = self._pending[command.operation_id] = _Pending(asyncio.get_running_loop().create_future())
        self._results.waited_for += request_waits
        if not self.lease.held:
            self.wake()  # without the lease, results are read at intervals
        try:
            result = await self._result(command, pending, begun_s, request_waits=request_waits)
        except asyncio.CancelledError:
            self._stream.abandon(command.operation_id)
            raise
        finally:
            del self._pending[command.operation_id]
            self._results.waited_for -= request_waits
        with self._metrics.service.faults.contain(
            InstanceLogger(logger, self.lease.slug), FaultKind.LISTENER
        ):
            self._ended(command, result, time.monotonic() - begun_s)
        return result

    async def _result(
        self, command: Command, pending: _Pending, begun_s: float, *, request_waits: bool
    ) -> CommandResult:
        now_s, leaving = time.monotonic(), self._leaving
        deadline_s, answer_by_s = begun_s + HAND_OUT_WITHIN_S, begun_s + ANSWER_WITHIN_S
        if leaving:
            if not request_waits or now_s >= min(deadline_s, leaving.fetched_by_s):
                return failures.RELAY_STOPS
            deadline_s = min(deadline_s, leaving.fetched_by_s)
            answer_by_s = min(answer_by_s, leaving.answered_by_s)
        elif deadline_s <= now_s:
            return failures.STOOD_STILL
        queued = False
        try:
            async with asyncio.timeout(answer_by_s - now_s) as pending.timeout:
                if not await self._stream.enqueue(command, deadline_s, request_waits=request_waits):
                    self._metrics.beyond("open_commands")
                    return failures.QUEUE_FULL
                queued = True
                if self._leaving and self._leaving.fetched_by_s <= time.monotonic():
                    await self._refuse(command.operation_id)
                # Not the future itself: the timeout would cancel it, and a last result could not be set.
                await asyncio.wait([pending.result])
                return pending.result.result()
        except NotCarriedOut as error:
            return failures.store_refused(str(error))
        except (StoreError, TimeoutError):
            return await self._give_up(command.operation_id, pending, maybe_unqueued=not queued)

    async def _give_up(self, operation_id: str, pending: _Pending, *, maybe_unqueued: bool) -> CommandResult:
        """Ends a command whose time is up, so that it is not handed out any more. Returns how far it came."""
        try:
            async with asyncio.timeout(GIVE_UP_WITHIN_S):
                end = await self._stream.give_up(operation_id, maybe_unqueued=maybe_unqueued)
        except (StoreError, TimeoutError):
            return failures.STORE_AWAY
        if end is None:  # the mod has answered, and its result is not read yet
            self._results.woken.set()
            await asyncio.wait([pending.result], timeout=READ_WITHIN_S)
            return pending.result.result() if pending.result.done() else failures.NO_RESULT
        if end is CommandState.EXPIRED and self._leaving:
            return failures.RELAY_STOPS
        if end is CommandState.EXPIRED:
            return failures.not_delivered(self.contact.silent_s)
        return failures.NO_RESULT

    async def leave(self, closing_times: ClosingTimes) -> None:
        """Ends each open command by the moments of `closing_times`. Refreshes are refused from now on."""
        self._leaving = closing_times
        loop = asyncio.get_running_loop()
        end_s = loop.time() + closing_times.answered_by_s - time.monotonic()
        for pending in self._pending.values():
            if pending.timeout and not pending.timeout.expired():
                pending.timeout.reschedule(min(end_s, pending.timeout.when() or end_s))
        self.wake()  # without the lease, results are looked for at intervals from now on
        await asyncio.sleep(closing_times.fetched_by_s - time.monotonic())
        await asyncio.gather(*map(self._refuse, list(self._pending)))

    async def _refuse(self, operation_id: str) -> None:
        """Ends a command that no poll has fetched."""
        with contextlib.suppress(StoreError):  # then it ends when its time is up
            end = await self._stream.give_up(operation_id, unfetched_only=True)
            pending = self._pending.get(operation_id)
            if end is CommandState.EXPIRED and pending and not pending.result.done():
                pending.result.set_result(failures.RELAY_STOPS)


class _ResultReader:
    """Reads the results of one instance and hands them to the commands in `pending`."""

    def __init__(
        self, stream: CommandStream, lease: Lease, metrics: UplinkMetrics, pending: dict[str, _Pending]
    ) -> None:
        self.waited_for = 0
        """Number of commands that a request waits for, refreshes not included."""
        self._stream = stream
        self._lease = lease
        self._metrics = metrics
        self._pending = pending
        self.woken = asyncio.Event()
        self._soon: asyncio.TimerHandle | None = None
        self._through = ""  # id of the last entry that was read
        self._found_s = 0.0
        self._unclaimed: OrderedDict[str, float] = OrderedDict()  # id of an entry -> since when

    def wake(self) -> None:
        """Reads results soon: there may be some."""
        if self.waited_for or not self._lease.held:
            self.woken.set()
        elif self._soon is None:
            loop = asyncio.get_running_loop()
            self._soon = loop.call_at(next_beat_s(loop.time(), REFRESH_RESULTS_EVERY_S), self.woken.set)

    async def run(self) -> None:
        """Hands results to the commands that wait for them. Never returns."""
        while True:
            self.woken.clear()
            if self._soon:
                self._soon.cancel()
                self._soon = None
            found = await patiently(self._read)
            if self._unclaimed:
                await patiently(self._delete_unclaimed)
            if found:
                continue
            unhinted = self._pending and not self._lease.held
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_S if unhinted else None):
                    await self.woken.wait()

    async def _read(self) -> bool:
        """Hands on our own results and deletes them from the stream. False: there were none at all.

        Raises StoreError.
        """
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
            self._stream.delete_results(ours)
        return bool(found)

    async def _delete_unclaimed(self) -> None:
        """Deletes results that no request has received in time. Only the owner deletes and counts them.

        Raises StoreError.
        """
        before_s = time.monotonic() - PICKED_UP_WITHIN_S
        while self._unclaimed and next(iter(self._unclaimed.values())) < before_s:
            entry = next(iter(self._unclaimed))
            if self._lease.held:
                self._metrics.unclaimed.inc(await self._stream.delete_unclaimed(entry))
            del self._unclaimed[entry]
