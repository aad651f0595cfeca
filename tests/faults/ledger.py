"""Records what mods and Takaro saw. Each accepted event must arrive. Times are seconds on one monotonic
clock."""

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple


class Accepted(NamedTuple):
    """A mod's event that was answered with 2xx."""

    at_s: float
    instance: str
    number: int
    lane: str


class Arrival(NamedTuple):
    """An event frame that Takaro took. `uplink` is one process from its start to its end."""

    at_s: float
    instance: str
    number: int
    lane: str
    uplink: str
    connection: int
    intact: bool


class Execution(NamedTuple):
    """An operation that a mod ran. `number` is the number of its request, 0 without a mark."""

    at_s: float
    instance: str
    operation_id: str
    number: int


class Identify(NamedTuple):
    at_s: float
    instance: str
    uplink: str
    connection: int


@dataclass(slots=True)
class TakaroRequest:
    """A write that Takaro asked for, or a read (`number` 0). `error` is Takaro's error for the answer.

    `socket_open`: the socket of the request was open; on a closed one nobody can answer. `closed_s`: when
    Takaro saw the socket close.
    """

    instance: str
    number: int
    asked_s: float
    answered_s: float | None = None
    error: str | None = None
    socket_open: bool = True
    closed_s: float | None = None


@dataclass(slots=True)
class Fault:
    """A fault that began at `at_s`. Recovery counts from `since_s`: the same moment, or the end of a fault
    that lasts. `affected`: for each instance, the number of its newest event at that moment."""

    name: str
    at_s: float
    since_s: float
    affected: dict[str, int]


class Ledger:
    """Only grows. `accept()` and `arrive()` also keep track of the events that are still missing."""

    def __init__(self) -> None:
        self.accepted: list[Accepted] = []
        self.arrivals: list[Arrival] = []
        self.executions: list[Execution] = []
        self.identifies: list[Identify] = []
        self.requests: dict[tuple[str, int], TakaroRequest] = {}
        self.reads: list[TakaroRequest] = []
        self.faults: list[Fault] = []
        self.responses: dict[str, int] = defaultdict(int)
        """The number of responses, by requestId."""

        self.stray = 0
        """Number of frames that Takaro should never get: events before an identify, text that is not JSON."""

        self.refused: list[str] = []
        """The error texts with which Takaro refused events."""

        self.owed: dict[str, set[int]] = defaultdict(set)
        """The numbers that were accepted and have not arrived, by instance."""

        self.newest: dict[str, int] = defaultdict(int)
        """The highest number that has arrived, by instance."""

        self.owner: dict[str, str] = {}
        """The uplink process that sent the last frame, by instance."""

        self._arrived: dict[str, set[int]] = defaultdict(set)

    def accept(self, accepted: Accepted) -> None:
        self.accepted.append(accepted)
        if accepted.number not in self._arrived[accepted.instance]:
            self.owed[accepted.instance].add(accepted.number)

    def arrive(self, arrival: Arrival) -> None:
        self.arrivals.append(arrival)
        slug = arrival.instance
        self._arrived[slug].add(arrival.number)
        self.owed[slug].discard(arrival.number)
        self.newest[slug] = max(self.newest[slug], arrival.number)
        self.owner[slug] = arrival.uplink

    @property
    def lost(self) -> list[tuple[str, int]]:
        """All events that were accepted and have not arrived."""
        return [(slug, number) for slug, numbers in self.owed.items() for number in sorted(numbers)]

    def recovered(self, fault: Fault) -> bool:
        """Whether a new event of each affected instance has arrived."""
        return all(self.newest[slug] > number for slug, number in fault.affected.items())
