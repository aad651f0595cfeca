"""The queue of lines that are not sent yet. Pure."""

import itertools
from collections import deque
from typing import NamedTuple

from services.agent.files import KnownFile

# The mod has the same two limits (protocol.md M4).
MAX_LINES = 2_000
MAX_BATCH = 50


class Waiting(NamedTuple):
    """A line, and the offset at which it ends in its file. A line of our own has none."""

    text: str
    file: KnownFile | None
    offset: int


class Outbox:
    """Drops new lines when it is full. A batch stays at the head until `sent()` confirms it."""

    def __init__(self, max_lines: int = MAX_LINES, max_batch: int = MAX_BATCH) -> None:
        self._max_lines = max_lines
        self._max_batch = max_batch
        self._lines: deque[Waiting] = deque()

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, text: str, file: KnownFile | None = None, offset: int = 0) -> bool:
        """Adds a line. False: the queue is full, and the line is lost."""
        if len(self._lines) >= self._max_lines:
            return False
        self._lines.append(Waiting(text, file, offset))
        return True

    def batch(self) -> list[str]:
        """The lines to send now, the oldest first."""
        return [line.text for line in itertools.islice(self._lines, self._max_batch)]

    def sent(self, count: int) -> dict[KnownFile, int]:
        """Remove `count` lines that the relay took. Returns the offset up to which each file is done."""
        done = [self._lines.popleft() for _ in range(count)]
        return {line.file: line.offset for line in done if line.file}
