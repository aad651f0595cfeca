"""Finds lines that are in two logs. Pure: times are arguments, in seconds of one clock.

The game writes the output of scripts to the RPT, with the time in front, and 10 to 20 s later to the script
log too. Equal lines in the same log are no repeats.
"""

import hashlib
import re
from collections import deque

from services.agent.files import LogKind

WINDOW_S = 60.0
MAX_REMEMBERED = 5_000

_PREFIX = re.compile(r"^\s*(?:\d{1,2}:\d\d:\d\d(?:\.\d+)?\s+)?(?:SCRIPT\s*(?:\([A-Z]\))?\s*:\s*)?")


class Repeats:
    """Remembers each line for WINDOW_S, or until another log has it too; `most` lines at once."""

    def __init__(self, most: int = MAX_REMEMBERED) -> None:
        self._most = most
        self._lines: deque[tuple[float, bytes, LogKind]] = deque()
        self._waiting: dict[tuple[bytes, LogKind], deque[float]] = {}

    def __len__(self) -> int:
        return max(len(self._lines), len(self._waiting))

    def is_repeat(self, kind: LogKind, text: str, now_s: float) -> bool:
        """Whether another log has this line already. Each line is matched once."""
        while self._lines and (now_s - self._lines[0][0] > WINDOW_S or len(self._lines) >= self._most):
            self._forget(*self._lines.popleft())
        key = _key(text)
        for other in LogKind:
            if other is not kind and (times := self._waiting.get((key, other))):
                self._forget(times[0], key, other)
                return True
        self._lines.append((now_s, key, kind))
        self._waiting.setdefault((key, kind), deque()).append(now_s)
        return False

    def _forget(self, at_s: float, key: bytes, kind: LogKind) -> None:
        times = self._waiting.get((key, kind))
        if times and times[0] <= at_s:  # otherwise it was matched
            times.popleft()
            if not times:
                del self._waiting[key, kind]


def _key(text: str) -> bytes:
    plain = " ".join(_PREFIX.sub("", text).split())
    return hashlib.blake2b(plain.encode("utf-8", "replace"), digest_size=8).digest()
