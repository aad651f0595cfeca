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
from pathlib import Path
from types import TracebackType

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


class TerminalAnswers:
    """Asks the terminal. Meanwhile its answers, and keys except Ctrl-C, are read and not shown."""

    def __init__(self) -> None:
        self._heard_s: float | None = None

    def __enter__(self) -> "TerminalAnswers":
        self._before = termios.tcgetattr(sys.stdin)
        tty.setcbreak(sys.stdin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)
        except termios.error:  # it is gone
            return

    def have_ended(self) -> bool:
        """Ask again; call this each second. True if the terminal has answered before, and no longer does."""
        now_s = time.monotonic()
        while select.select([sys.stdin], [], [], 0)[0] and os.read(sys.stdin.fileno(), 1024):
            self._heard_s = now_s
        if not select.select([], [sys.stdout], [], 0)[1]:  # stopped by Ctrl-S
            self._heard_s = self._heard_s and now_s
        else:
            os.write(sys.stdout.fileno(), ASK)
        return self._heard_s is not None and now_s - self._heard_s > SILENT_S
