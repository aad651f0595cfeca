"""Keeps the processes of one relay alive, and ends them in order.

Programs are started in the order given and stopped in the opposite one. A program that ends by itself
is started again after a pause, except with exit code 2: that is a wrong setting, which no restart mends.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.cli import processes
from services.relay.protocol.errors import ConfigError
from services.relay.service.logs import CHANGE, about
from services.relay.service.under_up import RESTARTS

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
PROVEN_AFTER_S = 30.0
"""After a program has run this long, its next pause is the first one again."""
STOP_WITHIN_S = 12.0
"""Longer than each program takes by itself: uplink waits up to 8 s for what Takaro has asked."""
CONFIG_ERROR = 2
CANNOT_START = 127

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, in `folder` (None: where this process runs).

    `ready`, if given, is awaited before the next program is started.
    `end`, if given, is called in a thread to end the program cleanly. If that raises ConfigError, the program
    gets a signal.
    `mend`, if given, is called in a thread before it is started again, and told whether it ended by itself
    with an error. What it did is logged; a ConfigError ends all, for no restart mends that.
    """

    name: str
    argv: tuple[str, ...]
    environ: Mapping[str, str]
    ready: Callable[[], Coroutine[Any, Any, None]] | None = None
    mend: Callable[[bool], Sequence[str]] | None = None
    folder: Path | None = None
    end: Callable[[], None] | None = None


def next_pause_s(last_s: float, lived_s: float) -> float:
    """Seconds to wait before a program that lived `lived_s` is started again (0: there was no pause yet)."""
    if lived_s >= PROVEN_AFTER_S or last_s == 0:
        return FIRST_PAUSE_S
    return min(last_s * 2, LONGEST_PAUSE_S)


async def supervise(
    programs: Sequence[Program],
    stop: asyncio.Event,
    kill: asyncio.Event,
    stop_within_s: float = STOP_WITHIN_S,
) -> int:
    """Run `programs` until `stop` is set, or one of them reports a wrong setting; the exit code of it all.

    `kill` cuts the stopping short: what still runs is killed at once.
    """
    codes: list[int] = []

    def give_up(code: int) -> None:
        codes.append(code)
        stop.set()

    # They end in the opposite order, the store last: until then the others write what they have.
    async with AsyncExitStack() as ends:
        for program in programs:
            ends.push_async_callback(_Kept(program, give_up).end, kill, stop_within_s)
            if program.ready is not None:
                getting_ready = asyncio.create_task(program.ready())
                await _first(getting_ready, stop)
                getting_ready.cancel()
            if stop.is_set():
                break
        await stop.wait()
    return codes[0] if codes else 0


class _Kept:
    def __init__(self, program: Program, give_up: Callable[[int], None]) -> None:
        self._program = program
        self._give_up = give_up
        self._ending = asyncio.Event()
        self._restarts = 0
        self._process: asyncio.subprocess.Process | None = None
        self._task = asyncio.create_task(self._keep())
        self._task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        """By a fault of the program, nobody keeps it any more: all ends, and `end` raises the fault."""
        if not task.cancelled() and task.exception():
            self._give_up(1)

    async def _keep(self) -> None:
        clock = asyncio.get_running_loop().time
        pause_s = 0.0
        while not self._ending.is_set():
            started_s = clock()
            code = await self._run_once()
            if self._ending.is_set():
                return
            if code == CONFIG_ERROR:
                return self._give_up(code)
            pause_s = next_pause_s(pause_s, clock() - started_s)
            how = f"exit code {code}" if code >= 0 else f"signal {-code}"
            logger.warning(
                "%s ended (%s), starting it again in %g s",
                self._program.name,
                how,
                pause_s,
                extra=about(self._program.name) | CHANGE,
            )
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), pause_s)
            try:
                await self._mend(failed=code > 0)
            except ConfigError as error:
                logger.error("%s", error)
                return self._give_up(CONFIG_ERROR)
            self._restarts += 1

    async def _mend(self, *, failed: bool) -> None:
        if self._program.mend and not self._ending.is_set():
            for done in await asyncio.to_thread(self._program.mend, failed):
                logger.warning("%s", done)

    async def _run_once(self) -> int:
        try:
            program = self._program
            environ = {**program.environ, RESTARTS: str(self._restarts)}
            self._process = await processes.start(program.argv, environ, program.folder)
        except OSError as error:
            logger.error("%s cannot be started: %s", self._program.name, error.strerror)
            return CANNOT_START
        if self._ending.is_set():  # asked to end while it was being started
            processes.send(self._process, processes.ASK_TO_END)
        return await self._process.wait()

    async def end(self, kill: asyncio.Event, within_s: float) -> None:
        """Asks for a clean end, and ends the process at once if it takes longer than `within_s`, or if `kill`
        is set.
        """
        self._ending.set()
        if self._process:
            await _first(asyncio.create_task(self._ask_to_end(self._process)), kill, within_s)
        await _first(self._task, kill, within_s)
        if not self._task.done():
            logger.warning("%s does not end, killing it", self._program.name)
            if self._process:
                processes.send(self._process, processes.END_NOW)
        await self._task

    async def _ask_to_end(self, process: processes.Process) -> None:
        if self._program.end:
            with suppress(ConfigError):
                return await asyncio.to_thread(self._program.end)
        processes.send(process, processes.ASK_TO_END)


async def _first(work: asyncio.Task[None], event: asyncio.Event, timeout_s: float | None = None) -> None:
    """Wait until `work` is done, `event` is set or time is up; `work` goes on."""
    waiter = asyncio.create_task(event.wait())
    either: set[asyncio.Task[Any]] = {work, waiter}
    await asyncio.wait(either, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
