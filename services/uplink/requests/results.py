"""Reads the mod's results of one instance, and hands them to the commands that wait for them."""

import asyncio
import time
from dataclasses import dataclass, field
from functools import partial

from services.relay.protocol.records import Outcome
from services.relay.protocol.vocabulary import ANSWER_WITHIN_S, HAND_OUT_WITHIN_S
from services.relay.service.clocks import next_shared_s
from services.relay.store.client import until_redis_answers
from services.relay.store.command_stream import KEEP_MS, CommandStream
from services.relay.store.leases import Lease
from services.uplink.reporting.metrics import UplinkMetrics

READ_RESULTS = 200


@dataclass(frozen=True, slots=True)
class CommandTimes:
    """When a command is given up, and results are read and deleted."""

    hand_out_within_s: float = HAND_OUT_WITHIN_S
    answer_within_s: float = ANSWER_WITHIN_S
    give_up_within_s: float = 0.7  # the rest of Takaro's 10 s, less the time that the answer needs
    read_within_s: float = 0.2  # time to read a result that arrived at the last moment
    read_again_s: float = 0.25  # without the lease: only the owner's renewals make up for a lost hint
    read_refreshes_every_s: float = 0.25  # results of refreshes, for all instances at the same moments
    picked_up_within_s: float = 10.0  # then a result is deleted: Takaro has given its request up
    kept_s: float = KEEP_MS / 1000  # without results, their stream may then have begun anew with lower ids


COMMAND_TIMES = CommandTimes()


@dataclass(eq=False, slots=True)
class PendingCommand:
    """A command from its request until its end is known. `ended` is set when `result` is there."""

    ended: asyncio.Event = field(default_factory=asyncio.Event)
    result: Outcome | None = None
    timeout: asyncio.Timeout | None = None


class ResultReader:
    """Hands results to the commands in `pending`, by their operation ids. While an instance moves, two
    uplinks queue commands: each takes the results of its own, and leaves the others."""

    def __init__(
        self, stream: CommandStream, lease: Lease, metrics: UplinkMetrics, times: CommandTimes = COMMAND_TIMES
    ) -> None:
        self.pending: dict[str, PendingCommand] = {}
        self.waited_for = 0  # number of commands that a request waits for, refreshes not included
        self.stream = stream
        self.lease = lease
        self.metrics = metrics
        self.times = times
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._soon: asyncio.TimerHandle | None = None
        self._through = ""  # id of the last entry that was read
        self._found_s = 0.0
        self._unclaimed: dict[str, float] = {}  # id of an entry -> since when

    def wake(self, *, at_once: bool = False) -> None:
        """There may be results: reads them, if only refreshes wait at the moment that all instances share."""
        if at_once or self.waited_for or not self.lease.held:
            self._woken.set()
        elif self._soon is None:
            due_s = next_shared_s(self._loop.time(), self.times.read_refreshes_every_s)
            self._soon = self._loop.call_at(due_s, partial(self.wake, at_once=True))

    async def run(self) -> None:
        """Never returns."""
        while True:
            self._woken.clear()
            if self._soon:
                self._soon.cancel()
                self._soon = None
            more = await until_redis_answers(self._read)
            if self._unclaimed:
                await until_redis_answers(self._delete_unclaimed)
            if more:
                continue
            if self.pending and not self.lease.held and self._soon is None:
                wake = partial(self.wake, at_once=True)
                self._soon = self._loop.call_later(self.times.read_again_s, wake)
            await self._woken.wait()

    async def _read(self) -> bool:
        """Hands on our own results and deletes them. True: there may be more. Raises StoreError."""
        now_s = time.monotonic()
        if now_s - self._found_s > self.times.kept_s:
            self._through = ""
        found = await self.stream.results(self._through, READ_RESULTS)
        ours = []
        for entry, operation_id, outcome in found:
            pending = self.pending.get(operation_id)
            if pending and pending.result is None:
                pending.result = outcome
                pending.ended.set()
                ours.append(entry)
            else:
                self._unclaimed.setdefault(entry, now_s)
        if found:
            self._through, self._found_s = found[-1][0], now_s
        if ours:
            self.stream.delete_results(ours)
        return len(found) == READ_RESULTS  # those that come later have a hint of their own

    async def _delete_unclaimed(self) -> None:
        """The owner deletes results that no request has received in time. Raises StoreError."""
        before_s = time.monotonic() - self.times.picked_up_within_s
        for entry in [entry for entry, since_s in self._unclaimed.items() if since_s < before_s]:
            if self.lease.held:
                self.metrics.unclaimed.inc(await self.stream.delete_unclaimed(entry))
            del self._unclaimed[entry]
