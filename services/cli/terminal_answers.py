"""Whether a terminal still answers.

`docker exec` and `kubectl exec` leave the pty of a client that has gone open: neither a signal nor the pty
says that nobody is there. But a terminal answers when it is asked for its status.
"""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

assert sys.platform != "win32"

ASK = b"\x1b[5n"
SILENT_S = 7.0
"""Longer than a slow connection needs, and short enough to end within 10 s."""


def is_needed() -> bool:
    """Whether this is a session of a container: the parent of its first process is outside."""
    try:
        stat = Path(f"/proc/{os.getsid(0)}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[1] == "0" and sys.stdin.isatty() and sys.stdout.isatty()


@contextmanager
def silence() -> Iterator[Callable[[], bool]]:
    """A function that asks the terminal; call it each second. It returns True once the terminal, which has
    answered before, no longer does.

    Meanwhile its answers, and keys except Ctrl-C, are read and not shown.
    """
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
        return heard_s is not None and now_s - heard_s > SILENT_S

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield is_silent
    finally:
        with suppress(termios.error):  # it is gone
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
