"""Has the mod of one instance do something, and says what came of it: a result, or how far it got."""

import asyncio
import time

from services.relay.command_life import State
from services.relay.command_stream import CommandStream
from services.relay.errors import StoreError
from services.relay.leases import Lease
from services.relay.records import Command, Outcome
from services.relay.vocabulary import ANSWER_WITHIN_S, HAND_OUT_WITHIN_S
from services.uplink.metrics import Metrics
from services.uplink.takaro import failures
from services.uplink.takaro.contact import Contact
from services.uplink.takaro.failures import Failure

READ_RESULTS = 200
STORE_AGAIN_S = 0.25
GIVE_UP_WITHIN_S = 0.7
"""What is left of Takaro's 10 s after ANSWER_WITHIN_S, less the way of the answer."""


class Asking:
    """The commands of one instance that wait for the mod."""

    def __init__(self, stream: CommandStream, contact: Contact, lease: Lease, metrics: Metrics) -> None:
        self._stream = stream
        self._contact = contact
        self._lease = lease
        self._metrics = metrics
        self._waiting: dict[str, asyncio.Future[Outcome]] = {}  # by operation id
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """There may be results."""
        self._wake.set()

    async def ask(self, command: Command, *, somebody_waits: bool = True) -> Outcome | Failure:
        """Puts a command on its way and waits for what comes of it, no longer than ANSWER_WITHIN_S."""
        begun_s = time.monotonic()
        result: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[command.operation_id] = result
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                hand_out_by_s = begun_s + HAND_OUT_WITHIN_S
                if not await self._stream.enqueue(command, hand_out_by_s, somebody_waits=somebody_waits):
                    return failures.queue_full()
                return await result
        except StoreError:
            return failures.store_away()
        except TimeoutError:
            return await self._give_up(command.operation_id)
        finally:
            del self._waiting[command.operation_id]

    async def _give_up(self, operation_id: str) -> Failure:
        """Time is up: from now on the command is not handed out any more. How far did it come?"""
        try:
            async with asyncio.timeout(GIVE_UP_WITHIN_S):
                fate = await self._stream.give_up(operation_id)
        except (StoreError, TimeoutError):
            return failures.store_away()
        if fate is State.EXPIRED:
            return failures.not_delivered(self._contact.silent_s)
        return failures.no_result()

    async def pass_results_on(self) -> None:
        """Hands what mods answered to whoever waits for it. Never returns. Raises LostLease."""
        through = ""
        while True:
            self._wake.clear()
            try:
                found = await self._stream.results(through, READ_RESULTS)
                for _, operation_id, outcome in found:
                    waiting = self._waiting.get(operation_id)
                    if waiting and not waiting.done():
                        waiting.set_result(outcome)
                    else:
                        self._metrics.unclaimed.inc()
                if found:
                    through = found[-1][0]
                    await self._stream.trim_results(self._lease.token, through)
            except StoreError:
                await asyncio.sleep(STORE_AGAIN_S)
                continue
            if not found:
                await self._wake.wait()
