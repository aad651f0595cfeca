"""What the oracle has seen: every acceptance is an obligation. Times are seconds on one monotonic clock."""

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
    """A mod ran an operation. `number` is that of the request, 0 for one that is not ours."""

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
class Request:
    """A write that Takaro asked for, or a read (`number` 0); `error` is what it made of the answer.

    `socket_open`: the socket that it asked was open; on one that is gone nobody can answer. `closed_s`: when
    Takaro saw its end.
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
    """Something that was done to the world at `at_s`. Recovery counts from `since_s`: the same moment, or for
    what lasts, when it was healed. `affected`: of each instance, the number of its newest event by then."""

    name: str
    at_s: float
    since_s: float
    affected: dict[str, int]


class Ledger:
    """Append only. `accepted` and `arrived` keep the books of what is still owed as they go."""

    def __init__(self) -> None:
        self.accepted: list[Accepted] = []
        self.arrivals: list[Arrival] = []
        self.executions: list[Execution] = []
        self.identifies: list[Identify] = []
        self.requests: dict[tuple[str, int], Request] = {}
        self.reads: list[Request] = []
        self.faults: list[Fault] = []
        self.responses: dict[str, int] = defaultdict(int)
        """How many responses came for each requestId of Takaro's."""

        self.stray = 0
        """Frames that no connector should ever get: events before an identify, text that is not JSON."""

        self.refused: list[str] = []
        """Error texts that Takaro answered events with."""

        self.owed: dict[str, set[int]] = defaultdict(set)
        """Of each instance, the numbers that were accepted and have not arrived."""

        self.newest: dict[str, int] = defaultdict(int)
        """Of each instance, the highest number that has arrived."""

        self.owner: dict[str, str] = {}
        """Of each instance, whose frame came last."""

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
        """What was accepted and has not arrived."""
        return [(slug, number) for slug, numbers in self.owed.items() for number in sorted(numbers)]

    def recovered(self, fault: Fault) -> bool:
        """Has a new event of each affected instance arrived?"""
        return all(self.newest[slug] > number for slug, number in fault.affected.items())
