"""Limits repeated lines of the log. Pure: times are arguments.

A peer that fails causes the same line many times a second. Each different line is logged once. Its
repetitions are counted, and one line a minute has their number.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

SUM_UP_EVERY_S = 60.0

MOST_LINES = 10
"""Maximum number of different lines of one topic: their texts may come from outside. Also the maximum number
of changes of one topic a minute, whether they differ or not."""

MOST_LINES_OF_KIND = 30
"""Maximum number of lines of one kind that are logged a minute, whatever their topics are."""

MOST_TOPICS = 4_000
TEXT_CHARS = 300  # lines count as equal if this much of their beginnings is the same

T = TypeVar("T")


class Summary(NamedTuple, Generic[T]):
    """`more` lines of a topic came within `within_s` and were not logged; `last` is the last of them."""

    more: int
    last: T
    within_s: float


@dataclass(slots=True)
class _Topic(Generic[T]):
    begun_s: float
    logged: set[str] = field(default_factory=set)
    changes: int = 0
    count: int = 0
    last: T | None = None

    def refuse(self, line: T) -> bool:
        """False. The line is counted, and kept as the last one."""
        self.count += 1
        self.last = line
        return False


class LogRateLimit(Generic[T]):
    """Decides which lines are logged. A topic can be a place in the code and an instance."""

    def __init__(self, sum_up_every_s: float = SUM_UP_EVERY_S) -> None:
        self._sum_up_every_s = sum_up_every_s
        self._topics: OrderedDict[Hashable, _Topic[T]] = OrderedDict()  # by when their minute began

    def admits(
        self,
        topic: Hashable,
        text: str,
        line: T,
        now_s: float,
        *,
        change: bool = False,
        kind: Hashable = None,
    ) -> bool:
        """Whether to log this line now. If not, it is counted, and kept as the last one.

        A `change` is logged even if the same line was logged before: a state has changed in between. Of each
        topic with a `kind` one line is logged, whatever its text is. If too many topics of the kind come,
        their lines are counted together.
        """
        if kind is not None and topic not in self._topics:
            together = self._topics.setdefault(kind, _Topic(now_s))
            together.changes += 1
            if together.changes > MOST_LINES_OF_KIND:
                return together.refuse(line)
        known = self._topics.setdefault(topic, _Topic(now_s))
        if change:
            known.changes += 1
            return known.changes <= MOST_LINES or known.refuse(line)
        text = text[:TEXT_CHARS] if kind is None else ""
        if text in known.logged or len(known.logged) >= MOST_LINES:
            return known.refuse(line)
        known.logged.add(text)
        return True

    def due(self, now_s: float, *, all_of_them: bool = False) -> Iterator[Summary[T]]:
        """The summaries that are to be logged now. A topic without new lines is forgotten."""
        while self._topics:
            topic, known = next(iter(self._topics.items()))
            beyond = len(self._topics) > MOST_TOPICS
            if not (all_of_them or beyond) and now_s < known.begun_s + self._sum_up_every_s:
                return
            del self._topics[topic]
            if known.count and known.last is not None:
                yield Summary(known.count, known.last, now_s - known.begun_s)
                if not (all_of_them or beyond):  # lines that were logged are not logged again
                    self._topics[topic] = _Topic(now_s, known.logged)

    @property
    def next_s(self) -> float | None:
        """When `due` must be called next. None: not before another line comes."""
        first = next(iter(self._topics.values()), None)
        return first.begun_s + self._sum_up_every_s if first else None
