"""What must be true of a ledger when everything is healed and drained. Pure: ledgers in, complaints out.

The docstring of each function begins with the letter of its complaints.
"""

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from tests.faults.ledger import Arrival, Ledger, TakaroRequest

REPEATED_PER_FAULT = 64
DEADLINE_S = 10.0
"""Takaro gives a request up after this time. No write may run later."""

TENURE_S = 2.0
"""An uplink that takes an instance over keeps it for longer than this. Frames of two uplinks that
alternate faster mean two owners."""

CROSSED_S = 0.25
"""A request that Takaro sends within this time before it sees the socket close may have crossed the
close frame."""

ONE_WRITE_S = 0.1
ONE_WRITE_EVENTS = 32


def conservation(ledger: Ledger) -> list[str]:
    """C: every accepted event arrived."""
    return [f"C: {instance} {number} was accepted and is lost" for instance, number in ledger.lost]


def order(ledger: Ledger) -> list[str]:
    """O: first arrivals are in order, for each player and for lines without a player."""
    broken: list[str] = []
    seen: set[tuple[str, int]] = set()
    newest: dict[tuple[str, str], int] = {}
    for arrival in ledger.arrivals:
        event = arrival.instance, arrival.number
        if event in seen:
            continue
        seen.add(event)
        lane = arrival.instance, arrival.lane
        if arrival.number < newest.get(lane, -1):
            broken.append(f"O: {arrival.instance} {arrival.lane} {arrival.number} came after {newest[lane]}")
        newest[lane] = max(newest.get(lane, -1), arrival.number)
    return broken


def repeats(ledger: Ledger) -> dict[tuple[str, int], int]:
    """The number of repeated events, by instance and by the index of the fault before them; -1 is before all
    faults."""
    begun = [fault.at_s for fault in ledger.faults]
    counted: Counter[tuple[str, int]] = Counter()
    seen: set[tuple[str, int]] = set()
    for arrival in ledger.arrivals:
        event = arrival.instance, arrival.number
        if event in seen:
            counted[arrival.instance, bisect_right(begun, arrival.at_s) - 1] += 1
        seen.add(event)
    return dict(counted)


def duplicates(ledger: Ledger, allowed: int = REPEATED_PER_FAULT) -> list[str]:
    """D: a fault repeats at most `allowed` events of an instance. Without a fault none is repeated."""
    broken = []
    for (instance, fault), count in sorted(repeats(ledger).items()):
        name = ledger.faults[fault].name if fault >= 0 else "no fault"
        if fault < 0 or count > allowed:
            broken.append(f"D: {instance}: {count} events were repeated after {name} (fault {fault + 1})")
    return broken


def intruders(ledger: Ledger) -> list[list[Arrival]]:
    """Runs of event frames of one uplink with frames of another shortly before and after them: two wrote for
    one instance. Of two such runs the shorter one is the intruder."""
    found: list[list[Arrival]] = []
    for arrivals in _by_instance(ledger.arrivals).values():
        runs: list[list[Arrival]] = []
        for arrival in arrivals:
            if not runs or runs[-1][-1].uplink != arrival.uplink:
                runs.append([])
            runs[-1].append(arrival)
        for before, between, after in zip(runs, runs[1:], runs[2:], strict=False):
            if before[0].uplink == after[0].uplink and after[0].at_s - before[-1].at_s < TENURE_S:
                found.append(min(between, after, key=len))
    return found


def single_owner(ledger: Ledger, late_writes: int = 0) -> list[str]:
    """S: one uplink at a time sends events of an instance.

    `late_writes`: the number of single writes that may come late, from processes that were frozen between the
    lease check and the write.
    """
    broken = []
    for run in intruders(ledger):
        one_write = len(run) <= ONE_WRITE_EVENTS and run[-1].at_s - run[0].at_s <= ONE_WRITE_S
        if one_write and late_writes > 0:
            late_writes -= 1
            continue
        broken.append(f"S: {run[0].instance}: {len(run)} frames of {run[0].uplink} among those of another")
    return broken


def commands(ledger: Ledger) -> list[str]:
    """K: a write runs at most once and never after its deadline. A request has at most one response."""
    broken = [f"K: request {key}: {count} responses" for key, count in ledger.responses.items() if count > 1]
    runs = Counter(execution.operation_id for execution in ledger.executions)
    broken += [f"K: operation {name} ran {count} times" for name, count in runs.items() if count > 1]
    asked = Counter(
        (execution.instance, execution.number) for execution in ledger.executions if execution.number
    )
    broken += [f"K: write {mark} ran {count} times" for mark, count in asked.items() if count > 1]
    for execution in ledger.executions:
        request = ledger.requests.get((execution.instance, execution.number))
        if request and execution.at_s - request.asked_s > DEADLINE_S:
            age_s = execution.at_s - request.asked_s
            broken.append(f"K: write {execution.instance} {execution.number} ran after {age_s:.1f} s")
    return broken


def timed_out(ledger: Ledger) -> list[TakaroRequest]:
    """The requests without an answer, except those on a socket that was closed already."""
    asked = [*ledger.requests.values(), *ledger.reads]
    return [request for request in asked if request.socket_open and ran_out(request)]


def ran_out(request: TakaroRequest) -> bool:
    """Whether Takaro gave up the request."""
    return (request.error or "").startswith("Request timed out")


def crossed(request: TakaroRequest) -> bool:
    """Whether the request crossed the close frame of its socket. Then nobody can answer it."""
    return request.closed_s is not None and request.closed_s - request.asked_s < CROSSED_S


def answers(ledger: Ledger) -> list[str]:
    """A: every request is answered in time. One that crossed the close frame does not run."""
    ran = {(execution.instance, execution.number) for execution in ledger.executions if execution.number}
    broken = []
    for request in timed_out(ledger):
        what = f"{'write' if request.number else 'read'} {request.instance} {request.number}"
        if not crossed(request):
            broken.append(f"A: {what} got no answer within Takaro's time")
        elif request.number and (request.instance, request.number) in ran:
            broken.append(f"A: {what} crossed the close of its socket, and ran all the same")
    return broken


def integrity(ledger: Ledger) -> list[str]:
    """I: events arrive as they were sent, and Takaro refuses none."""
    broken = [
        f"I: {arrival.instance} {arrival.number} was changed on its way"
        for arrival in ledger.arrivals
        if not arrival.intact
    ]
    if ledger.stray:
        broken.append(f"I: {ledger.stray} frames that Takaro could not read or place")
    return broken


def recoveries(ledger: Ledger) -> list[float]:
    """R: for each fault and affected instance, seconds until its first event arrived that is newer than the
    fault; infinite if none ever did."""
    arrivals = _by_instance(ledger.arrivals)
    times = {instance: [arrival.at_s for arrival in found] for instance, found in arrivals.items()}
    return [
        next(
            (
                arrival.at_s - fault.since_s
                for arrival in arrivals[instance][bisect_right(times[instance], fault.since_s) :]
                if arrival.number > newest
            ),
            math.inf,
        )
        if instance in arrivals
        else math.inf
        for fault in ledger.faults
        for instance, newest in fault.affected.items()
    ]


def recovery(ledger: Ledger, p99_s: float) -> list[str]:
    """R: 99 of 100 recoveries take at most `p99_s`."""
    found = recoveries(ledger)
    if found and percentile(found, 99) > p99_s:
        return [f"R: recovery took {percentile(found, 99):.1f} s (p99), {p99_s:g} s are promised"]
    return []


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` % of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def hygiene(name: str, log: str, secrets: Iterable[str]) -> list[str]:
    """L: no log has a traceback, a secret, or a failure of a task that nothing awaited."""
    broken = [
        f"L: {name}: the log has {words!r} {count} times"
        for words in ("Traceback (most recent call last)", "never retrieved", "was never awaited")
        if (count := log.count(words))
    ]
    return broken + [f"L: {name}: the log has the secret {secret}" for secret in secrets if secret in log]


def bounded(name: str, base: dict[str, float], end: dict[str, float], growth: dict[str, float]) -> list[str]:
    """B: no measure has grown by more than `growth` allows."""
    return [
        f"B: {name}: {measure} was {base[measure]:.0f} and is {end[measure]:.0f}"
        for measure, allowed in growth.items()
        if measure in base and measure in end and end[measure] > base[measure] + allowed
    ]


def _by_instance(arrivals: Iterable[Arrival]) -> dict[str, list[Arrival]]:
    found: dict[str, list[Arrival]] = defaultdict(list)
    for arrival in arrivals:
        found[arrival.instance].append(arrival)
    return found
