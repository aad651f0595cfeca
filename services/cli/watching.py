"""Ends a command that would run until Ctrl-C when nobody is left to press it.

A shell that dies ends its commands by SIGHUP. In a container it may not: the command would run, and hold its
memory, until the container is restarted.
"""

import asyncio
import contextlib
import os
import select
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TextIO

LOOK_EVERY_S = 1.0


async def until_nobody_watches(
    watched: Coroutine[Any, Any, object], *, in_container: bool | None = None
) -> None:
    """Run `watched` until Ctrl-C, or until the terminal or whoever reads the output is gone.

    `in_container`: ask the terminal whether it is there. None: find out whether that is needed.
    """
    task = asyncio.create_task(watched)
    terminals = [stream for stream in (sys.stdin, sys.stdout) if stream.isatty()]
    parent = os.getppid()
    try:
        with _silence(in_container) as is_silent:
            while not task.done():
                # With `nohup`, or behind a pipe, a command may outlive its parent; at a terminal it does not.
                orphaned = bool(terminals) and os.getppid() != parent
                if orphaned or any(map(_is_closed, [*terminals, sys.stdout])) or is_silent():
                    return
                await asyncio.wait([task], timeout=LOOK_EVERY_S)
        await task
    except asyncio.CancelledError:  # by Ctrl-C, which is how watching ends
        return
    finally:
        task.cancel()


@contextlib.contextmanager
def _silence(in_container: bool | None) -> Iterator[Callable[[], bool]]:
    """A function that says whether the terminal no longer answers."""
    if sys.platform == "win32":
        yield lambda: False
        return
    from services.cli import terminal_answers

    if in_container or (in_container is None and terminal_answers.is_needed()):
        with terminal_answers.silence() as is_silent:
            yield is_silent
    else:
        yield lambda: False


def _is_closed(stream: TextIO) -> bool:
    """Whether the other end of a terminal or pipe is closed."""
    if sys.platform == "win32":
        return False
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(state & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, state in poll.poll(0))
