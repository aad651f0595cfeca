"""Lines that wait for the relay, and how many may come. Pure: times are arguments, seconds of one clock."""

import itertools
from collections import deque
from typing import NamedTuple

MAX_LINES = 2_000
MAX_BATCH = 50
"""Both as the mod has them (contract.md A1)."""

BURST_S = 10.0


class Rate:
    """So many lines a second. What was not used adds up for BURST_S: a game server says much at once."""

    def __init__(self, per_s: float, now_s: float) -> None:
        self._per_s = per_s
        self._most = self._left = max(1.0, per_s * BURST_S)
        self._at_s = now_s

    def admit(self, now_s: float) -> bool:
        """May one more pass? Then it is counted."""
        self._left = min(self._most, self._left + max(0.0, now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Waiting(NamedTuple):
    """A line, and how far its file is read with it. `name` "": it is of no file."""

    text: str
    name: str
    offset: int


class Outbox:
    """A queue that drops the newest when it is full. What is sent stays at its head until it has come."""

    def __init__(self) -> None:
        self._lines: deque[Waiting] = deque()

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, text: str, name: str = "", offset: int = 0) -> bool:
        """False when it is full: the line is lost."""
        if len(self._lines) >= MAX_LINES:
            return False
        self._lines.append(Waiting(text, name, offset))
        return True

    def batch(self) -> list[str]:
        """The lines to send now, the oldest first."""
        return [line.text for line in itertools.islice(self._lines, MAX_BATCH)]

    def sent(self, count: int) -> dict[str, int]:
        """So many at the head have come. How far each of their files is done with."""
        done = [self._lines.popleft() for _ in range(count)]
        return {line.name: line.offset for line in done if line.name}
