"""Queues commands for the mod of one instance, and returns the mod's result or how far the command came."""

import asyncio
import contextlib
import time
from collections.abc import Callable

from services.relay.protocol.command_states import CommandState
from services.relay.protocol.errors import NotCarriedOut, StoreError
from services.relay.protocol.records import Command, Outcome
from services.relay.service.arrivals import Stalls
from services.relay.service.clocks import boottime_s
from services.relay.service.faults import FaultKind
from services.relay.service.logs import InstanceLogger
from services.uplink.connection.closing_times import ClosingTimes
from services.uplink.requests.mod_contact import ModContact
from services.uplink.requests.results import PendingCommand, ResultReader
from services.uplink.takaro import failures

Ended = Callable[[Command, Outcome, float], object]
"""Is called with each command, its result and how many seconds it took."""


class CommandQueue:
    """The commands of one instance that wait for the mod."""

    def __init__(self, results: ResultReader, contact: ModContact, stalls: Stalls, ended: Ended) -> None:
        self.contact = contact
        self.lease = results.lease
        self.results = results
        self.metrics = results.metrics
        self._stream = results.stream
        self.stalls = stalls
        self._ended = ended
        self._times = results.times
        self._loop = asyncio.get_running_loop()
        self._logger = InstanceLogger(__name__, self.lease.slug)
        self._leaving: ClosingTimes | None = None

    async def ask(self, command: Command, *, request_waits: bool = True) -> Outcome:
        """Queues a command and waits for its result, no longer than `answer_within_s`. If this process stood
        still before, the request may have waited unread, and has that much less time."""
        begun_s = time.monotonic() - self.stalls.waited_s(boottime_s())
        pending = self.results.pending[command.operation_id] = PendingCommand()
        self.results.waited_for += request_waits
        if not self.lease.held:
            self.results.wake()  # without the lease, results are read at intervals
        result: Outcome = failures.FAULT
        try:
            result = await self._queue_with_deadline(command, pending, begun_s, request_waits=request_waits)
        except asyncio.CancelledError:
            self._stream.abandon(command.operation_id)
            result = failures.CUT_SHORT
            raise
        finally:
            del self.results.pending[command.operation_id]
            self.results.waited_for -= request_waits
            with self.metrics.service.faults.contain(self._logger, FaultKind.LISTENER):
                self._ended(command, result, time.monotonic() - begun_s)
        return result

    async def _queue_with_deadline(
        self, command: Command, pending: PendingCommand, begun_s: float, *, request_waits: bool
    ) -> Outcome:
        now_s, leaving, times = time.monotonic(), self._leaving, self._times
        deadline_s, answer_by_s = begun_s + times.hand_out_within_s, begun_s + times.answer_within_s
        if leaving:
            if not request_waits or now_s >= min(deadline_s, leaving.fetched_by_s):
                return failures.RELAY_STOPS
            deadline_s = min(deadline_s, leaving.fetched_by_s)
            answer_by_s = min(answer_by_s, leaving.answered_by_s)
        elif deadline_s <= now_s:
            return failures.STOOD_STILL
        queued = False
        try:
            async with asyncio.timeout_at(self._loop.time() + answer_by_s - now_s) as pending.timeout:
                if not await self._stream.enqueue(command, deadline_s, request_waits=request_waits):
                    self.metrics.beyond("open_commands")
                    return failures.QUEUE_FULL
                queued = True
                if self._leaving and self._leaving.fetched_by_s <= time.monotonic():
                    await self._expire_unfetched(command.operation_id)
                await pending.ended.wait()
        except NotCarriedOut as error:
            return failures.store_refused(str(error))
        except (StoreError, TimeoutError):
            if pending.result is None:
                return await self._give_up(command.operation_id, pending, maybe_unqueued=not queued)
        assert pending.result is not None
        return pending.result

    async def _give_up(self, operation_id: str, pending: PendingCommand, *, maybe_unqueued: bool) -> Outcome:
        """Ends a command whose time is up, so that it is not handed out any more. Returns how far it came."""
        pending.timeout = None  # its block is over: `leave` cannot move it any more
        times = self._times
        try:
            end = await self._stream.give_up(
                operation_id, within_s=times.give_up_within_s, maybe_unqueued=maybe_unqueued
            )
        except StoreError:
            return failures.STORE_AWAY
        if end is None:  # the mod has answered, and its result is not read yet
            self.results.wake(at_once=True)
            if pending.result is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(times.read_within_s):
                        await pending.ended.wait()
            return failures.NO_RESULT if pending.result is None else pending.result
        if end is not CommandState.EXPIRED:
            return failures.NO_RESULT
        return failures.RELAY_STOPS if self._leaving else failures.not_delivered(self.contact.silent_s)

    async def leave(self, closing_times: ClosingTimes) -> None:
        """Ends each open command by the moments of `closing_times`. Refreshes are refused from now on."""
        self._leaving = closing_times
        end_s = self._loop.time() + closing_times.answered_by_s - time.monotonic()
        for pending in self.results.pending.values():
            if pending.timeout and not pending.timeout.expired():
                pending.timeout.reschedule(min(end_s, pending.timeout.when() or end_s))
        self.results.wake()  # without the lease, results are read at intervals from now on
        await asyncio.sleep(closing_times.fetched_by_s - time.monotonic())
        await asyncio.gather(*map(self._expire_unfetched, list(self.results.pending)))

    async def _expire_unfetched(self, operation_id: str) -> None:
        """Ends a command that no poll has fetched."""
        with contextlib.suppress(StoreError):  # then it ends when its time is up
            end = await self._stream.give_up(operation_id, unfetched_only=True)
            pending = self.results.pending.get(operation_id)
            if end is CommandState.EXPIRED and pending and pending.result is None:
                pending.result = failures.RELAY_STOPS
                pending.ended.set()
