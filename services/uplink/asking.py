"""Has the mod of one instance do something, and says what came of it: a result, or how far it got."""

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable

from services.relay.clocks import boottime_s, next_beat_s
from services.relay.command_life import State
from services.relay.command_stream import KEEP_MS, CommandStream
from services.relay.errors import NotCarriedOut, StoreError
from services.relay.leases import Lease
from services.relay.records import Command, Outcome
from services.relay.stalls import Stalls
from services.relay.store import patiently
from services.relay.vocabulary import ANSWER_WITHIN_S, HAND_OUT_WITHIN_S
from services.uplink.metrics import Metrics
from services.uplink.takaro import failures
from services.uplink.takaro.contact import Contact
from services.uplink.takaro.failures import Failure

READ_RESULTS = 200
LOOK_AGAIN_S = 0.25
"""Without the lease nobody looks for us at what a lost hint left lying."""

REFRESHED_EVERY_S = 0.25
"""Results that nobody waits for are read together, those of all instances at the same moments."""

CLAIMED_WITHIN_S = 10.0
"""What nobody has claimed by then, nobody will: Takaro has given up."""

GIVE_UP_WITHIN_S = 0.7
"""What is left of Takaro's 10 s after ANSWER_WITHIN_S, less the way of the answer."""


class Asking:
    """The commands of one instance that wait for the mod.

    While an instance moves, two uplinks ask: each claims the results of its own commands, which it knows by
    their ids, and leaves the others.
    """

    def __init__(
        self,
        stream: CommandStream,
        contact: Contact,
        lease: Lease,
        metrics: Metrics,
        stalls: Stalls,
        passed: Callable[[Command, Outcome | Failure, float], object] = lambda command, result, took_s: None,
    ) -> None:
        self._stream = stream
        self._contact = contact
        self._lease = lease
        self._metrics = metrics
        self._stalls = stalls
        self._passed = passed
        self._waiting: dict[str, asyncio.Future[Outcome]] = {}  # by operation id
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

    async def ask(self, command: Command, *, somebody_waits: bool = True) -> Outcome | Failure:
        """Puts a command on its way and waits for what comes of it, no longer than ANSWER_WITHIN_S.

        If this process stood still before, the request may have waited unread, and has so much less time.
        """
        begun_s = time.monotonic() - self._stalls.waited_s(boottime_s())
        result = await self._ask(command, begun_s, somebody_waits=somebody_waits)
        self._passed(command, result, time.monotonic() - begun_s)
        return result

    async def _ask(self, command: Command, begun_s: float, *, somebody_waits: bool) -> Outcome | Failure:
        result: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[command.operation_id] = result
        self._urgent += somebody_waits
        if not self._lease.held:
            self.wake()  # from now on it looks by itself
        hand_out_by_s = begun_s + HAND_OUT_WITHIN_S
        queued = False
        try:
            if hand_out_by_s <= time.monotonic():
                return failures.stood_still()
            async with asyncio.timeout(begun_s + ANSWER_WITHIN_S - time.monotonic()):
                if not await self._stream.enqueue(command, hand_out_by_s, somebody_waits=somebody_waits):
                    self._metrics.beyond("open_commands")
                    return failures.queue_full()
                queued = True
                return await result
        except NotCarriedOut as error:
            return failures.store_refused(str(error))
        except (StoreError, TimeoutError):
            return await self._give_up(command.operation_id, in_doubt=not queued)
        finally:
            del self._waiting[command.operation_id]
            self._urgent -= somebody_waits

    async def _give_up(self, operation_id: str, *, in_doubt: bool) -> Failure:
        """Time is up: from now on the command is not handed out any more. How far did it come?"""
        try:
            async with asyncio.timeout(GIVE_UP_WITHIN_S):
                fate = await self._stream.give_up(operation_id, in_doubt=in_doubt)
        except (StoreError, TimeoutError):
            return failures.store_away()
        if fate is State.EXPIRED:
            return failures.not_delivered(self._contact.silent_s)
        return failures.no_result()

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
        alone = self._waiting and not self._lease.held
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
            waiting = self._waiting.get(operation_id)
            if waiting and not waiting.done():
                waiting.set_result(outcome)
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
