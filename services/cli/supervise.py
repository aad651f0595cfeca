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
PROVEN_AFTER_S = 30.0  # after a program has run this long, its next pause is the first one again
STOP_WITHIN_S = 12.0
"""Longer than each program takes by itself: uplink waits up to 8 s for what Takaro has asked."""
CONFIG_ERROR = 2
CANNOT_START = 127

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, in `folder` (None: where this process runs).

    `ready`, if given, is awaited before the next program is started.
    `end`, if given, is called in a thread to end the program cleanly, before it gets a signal. It may raise
    ConfigError.
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
    """Run `programs` until `stop` is set, or one of them reports a wrong setting. Returns the exit code.

    `kill` cuts the stopping short: what still runs is killed at once.
    """
    tasks: list[asyncio.Task[int]] = []
    # They end in the opposite order, the store last: until then the others write what they have.
    async with AsyncExitStack() as ends:
        for program in programs:
            ending = asyncio.Event()
            task = asyncio.create_task(_keep(program, ending, kill, stop_within_s))
            task.add_done_callback(lambda _: stop.set())  # by a wrong setting, or by a fault of ours
            tasks.append(task)
            ends.push_async_callback(_end, ending, task)
            if program.ready is not None:
                getting_ready = asyncio.create_task(program.ready())
                await _first(getting_ready, stop)
                getting_ready.cancel()
            if stop.is_set():
                break
        await stop.wait()
    return max(task.result() for task in tasks)


async def _end(ending: asyncio.Event, task: asyncio.Task[int]) -> None:
    """Raises what the task raised."""
    ending.set()
    await task


async def _keep(program: Program, ending: asyncio.Event, kill: asyncio.Event, within_s: float) -> int:
    """Run a program again and again until `ending` is set: 0. A wrong setting ends it with CONFIG_ERROR."""
    clock = asyncio.get_running_loop().time
    pause_s, restarts = 0.0, 0
    while True:
        started_s = clock()
        code = await _run(program, restarts, ending, kill, within_s)
        if ending.is_set():
            return 0
        if code == CONFIG_ERROR:
            return code
        pause_s = next_pause_s(pause_s, clock() - started_s)
        how = f"exit code {code}" if code >= 0 else f"signal {-code}"
        topic = about(program.name) | CHANGE
        logger.warning("%s ended (%s), starting it again in %g s", program.name, how, pause_s, extra=topic)
        with suppress(TimeoutError):
            await asyncio.wait_for(ending.wait(), pause_s)
            return 0
        try:
            for done in await asyncio.to_thread(program.mend, code > 0) if program.mend else ():
                logger.warning("%s", done)
        except ConfigError as error:
            logger.error("%s", error)
            return CONFIG_ERROR
        if ending.is_set():
            return 0
        restarts += 1


async def _run(
    program: Program, restarts: int, ending: asyncio.Event, kill: asyncio.Event, within_s: float
) -> int:
    """Run a program once; its exit code. When `ending` is set it is asked to end, and ended at once if that
    takes longer than `within_s`, or if `kill` is set.
    """
    try:
        environ = {**program.environ, RESTARTS: str(restarts)}
        process = await processes.start(program.argv, environ, program.folder)
    except OSError as error:
        logger.error("%s cannot be started: %s", program.name, error.strerror)
        return CANNOT_START
    ended = asyncio.create_task(process.wait())
    await _first(ended, ending)
    if not ended.done():
        await _first(asyncio.create_task(_ask_to_end(program, process)), kill, within_s)
        await _first(ended, kill, within_s)
    if not ended.done():
        logger.warning("%s does not end, killing it", program.name)
        processes.send(process, processes.END_NOW)
    return await ended


async def _ask_to_end(program: Program, process: processes.Process) -> None:
    if program.end:
        with suppress(ConfigError):
            await asyncio.to_thread(program.end)
    # Also after a clean end: before the program listens, that finds nobody.
    processes.send(process, processes.ASK_TO_END)


async def _first(work: asyncio.Task[Any], event: asyncio.Event, timeout_s: float | None = None) -> None:
    """Wait until `work` is done, `event` is set or time is up; `work` goes on."""
    waiter = asyncio.create_task(event.wait())
    await asyncio.wait((work, waiter), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
