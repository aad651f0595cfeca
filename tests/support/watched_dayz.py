"""A simulated DayZ server that tests can watch, stop, and make slow or unable."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from services.sim.dayz.generations import Operation
from services.sim.dayz.results import write_error
from services.sim.dayz.server import DayzServer
from tests.support.recorded_world import RecordedWorld
from tests.support.watchers import Watchers


@dataclass(slots=True)
class Counters:
    batches: int = 0  # answered with 2xx
    requeued: int = 0  # batches that failed and are sent again
    polls: int = 0  # answered with 2xx
    polls_failed: int = 0
    polls_unreadable: int = 0  # none of their operations was run
    operations: int = 0
    results: int = 0
    results_lost: int = 0


class WatchedDayz(DayzServer):
    """Unlike in reality, queued events survive a reboot, so that tests can count them."""

    world: RecordedWorld

    def __init__(self, *args: Any, **options: Any) -> None:
        self.counters = Counters()
        self.polling = False
        self.failing: dict[str, str] = {}
        """Actions that the mod answers with ok:false, and the error text of each."""
        self.run_s = 0.0
        """How long an operation runs before the mod posts its result."""
        self._changes = Watchers()
        self._stopping = asyncio.Event()
        super().__init__(*args, **options)
        self.world = RecordedWorld()
        self.world.kicked = self.leave

    @property
    def queued(self) -> int:
        return len(self._queue)

    async def wait_for(self, predicate: Callable[[], object], timeout_s: float = 30.0) -> None:
        """Until `predicate()` is true. It is called after every change. Raises TimeoutError."""
        await self._changes.wait_for(predicate, timeout_s)

    async def run(self) -> None:
        """From boot until `stop()` or cancellation."""
        running = asyncio.create_task(super().run())
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((running, stopped), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                await running
            await stopped
        finally:
            running.cancel()
            stopped.cancel()
            await asyncio.gather(running, stopped, return_exceptions=True)
        self._stopping.clear()

    def stop(self) -> None:
        """End `run()` at once: requests in flight are torn, the queue stays as it is."""
        self._stopping.set()

    def _happened(self, what: str) -> None:
        if hasattr(self.counters, what):
            setattr(self.counters, what, getattr(self.counters, what) + 1)
        self._changes.notify()

    async def _poll(self, group: asyncio.TaskGroup) -> None:
        self.polling = True
        self._changes.notify()
        try:
            await super()._poll(group)
        finally:
            self.polling = False
            self._changes.notify()

    def _dispatch(self, operation: Operation) -> bytes:
        if text := self.failing.get(operation.action):
            self._happened("operations")
            return write_error(self.generation, operation.operation_id, text)
        self.world.operation_id = operation.operation_id
        return super()._dispatch(operation)

    async def _post_result(self, operation: Operation, body: bytes) -> None:
        await asyncio.sleep(self.run_s)
        await super()._post_result(operation, body)
