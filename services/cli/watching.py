"""Ends a command that would run until Ctrl-C when nobody is left to press it.

A shell that dies ends its commands by SIGHUP. In a container it may not: the command would run, and hold its
memory, until the container is restarted. `docker exec` and `kubectl exec` leave the pty of a client that has
gone open: neither a signal nor the pty says that nobody is there, but a terminal answers if it is asked.
"""

import asyncio
import contextlib
import os
import select
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TextIO

CHECK_EVERY_S = 1.0
ASK = b"\x1b[5n"
SILENT_S = 7.0  # longer than a slow connection needs, and short enough to end within 10 s


async def until_nobody_watches(
    watched: Coroutine[Any, Any, object],
    *,
    in_container: bool | None = None,
    look_every_s: float = CHECK_EVERY_S,
    silent_s: float = SILENT_S,
) -> None:
    """Run `watched` until Ctrl-C, or until the terminal or whoever reads the output is gone.

    `in_container`: ask the terminal whether it is there. None: find out whether that is needed.
    """
    task = asyncio.create_task(watched)
    terminals = [stream for stream in (sys.stdin, sys.stdout) if stream.isatty()]
    parent = os.getppid()
    try:
        with _silence(in_container, silent_s) as is_silent:
            while not task.done():
                # With `nohup`, or behind a pipe, a command may outlive its parent; at a terminal it does not.
                orphaned = bool(terminals) and os.getppid() != parent
                if orphaned or any(map(_is_closed, [*terminals, sys.stdout])) or is_silent():
                    return
                await asyncio.wait([task], timeout=look_every_s)
        await task
    except asyncio.CancelledError:  # by Ctrl-C, which is how watching ends
        return
    finally:
        task.cancel()


@contextlib.contextmanager
def _silence(in_container: bool | None, silent_s: float) -> Iterator[Callable[[], bool]]:
    """A function that asks the terminal; call it each second. It returns True once the terminal, which has
    answered before, no longer does.

    Meanwhile its answers, and keys except Ctrl-C, are read and not shown.
    """
    if sys.platform == "win32" or not (_is_in_container() if in_container is None else in_container):
        yield lambda: False
        return
    import termios
    import tty

    heard_s: float | None = None

    def is_silent() -> bool:
        nonlocal heard_s
        now_s = time.monotonic()
        while select.select([sys.stdin], [], [], 0)[0] and os.read(sys.stdin.fileno(), 1024):
            heard_s = now_s
        if not select.select([], [sys.stdout], [], 0)[1]:  # stopped by Ctrl-S
            heard_s = heard_s and now_s
        else:
            os.write(sys.stdout.fileno(), ASK)
        return heard_s is not None and now_s - heard_s > silent_s

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield is_silent
    finally:
        with contextlib.suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _is_in_container() -> bool:
    """Whether this is a session of a container: the parent of its first process is outside."""
    if sys.platform == "win32":
        return False
    try:
        stat = Path(f"/proc/{os.getsid(0)}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[1] == "0" and sys.stdin.isatty() and sys.stdout.isatty()


def _is_closed(stream: TextIO) -> bool:
    """Whether the other end of a terminal or pipe is closed."""
    if sys.platform == "win32":
        return False
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(state & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, state in poll.poll(0))
