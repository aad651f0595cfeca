"""Ends a command that would run until Ctrl-C when nobody is left to press it.

A shell that dies ends its commands by SIGHUP. In a container it may not: the command would run, and hold its
memory, until the container is restarted.
"""

import asyncio
import os
import select
import sys
from collections.abc import Coroutine
from typing import Any, TextIO

LOOK_EVERY_S = 1.0


async def until_nobody_watches(watched: Coroutine[Any, Any, object]) -> None:
    """Run `watched` until Ctrl-C, or until the terminal or whoever reads the output is gone."""
    task = asyncio.create_task(watched)
    terminals = [stream for stream in (sys.stdin, sys.stdout) if stream.isatty()]
    parent = os.getppid()
    try:
        while not task.done():
            # With `nohup`, or behind a pipe, a command may outlive its parent; at a terminal it does not.
            if any(map(_is_closed, [*terminals, sys.stdout])) or (terminals and os.getppid() != parent):
                return
            await asyncio.wait([task], timeout=LOOK_EVERY_S)
        await task
    except asyncio.CancelledError:  # by Ctrl-C, which is how watching ends
        return
    finally:
        task.cancel()


def _is_closed(stream: TextIO) -> bool:
    """The other end of a terminal or pipe is closed."""
    if sys.platform == "win32":
        return False
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(state & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, state in poll.poll(0))
