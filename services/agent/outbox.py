"""Lines that wait for the relay. Pure."""

import itertools
from collections import deque
from typing import NamedTuple

MAX_LINES = 2_000
MAX_BATCH = 50
"""Both as the mod has them (protocol.md M4)."""


class Waiting(NamedTuple):
    """A line, and how far its file is read with it. Without a `key` it is of no file."""

    text: str
    key: int | None
    offset: int


class Outbox:
    """A queue that drops the newest when it is full. What is sent stays at its head until it has come."""

    def __init__(self) -> None:
        self._lines: deque[Waiting] = deque()

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, text: str, key: int | None = None, offset: int = 0) -> bool:
        """False when it is full: the line is lost."""
        if len(self._lines) >= MAX_LINES:
            return False
        self._lines.append(Waiting(text, key, offset))
        return True

    def batch(self) -> list[str]:
        """The lines to send now, the oldest first."""
        return [line.text for line in itertools.islice(self._lines, MAX_BATCH)]

    def sent(self, count: int) -> dict[int, int]:
        """So many at the head have come. How far each of their files is done with."""
        done = [self._lines.popleft() for _ in range(count)]
        return {line.key: line.offset for line in done if line.key is not None}
