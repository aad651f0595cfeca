"""Ends a world: stops the load, drains everything, counts, and checks the invariants."""

import asyncio
import contextlib
import time
from collections import Counter
from typing import TYPE_CHECKING

from tests.faults import invariants, marks
from tests.faults.measures import measure
from tests.support.relay_process import Service

if TYPE_CHECKING:
    from tests.faults.world import World

QUEUES_EMPTY_WITHIN_S = 60.0
DRAINED_WITHIN_S = 180.0
PLATEAU_S = 20.0
"""If no event arrives for this long, the missing ones count as lost."""

FRESH_WITHIN_S = 30.0
STREAMS_EMPTY_WITHIN_S = 15.0

GROWTH = {"rss_mib": 64.0, "fds": 24.0, "used_mib": 16.0}
"""How far each measure may be above its base when everything is drained. File descriptors may
grow by one more for each instance."""


async def drain(world: "World") -> None:
    """Stop the load. Wait until every accepted event has arrived, or nothing arrives any more."""
    await world.quieten()
    complain = world.run.outcome.complaints.append
    deadline_s = time.monotonic() + QUEUES_EMPTY_WITHIN_S
    while any(mod.queued for mod in world.mods.values()):
        if time.monotonic() > deadline_s:
            complain("R: mods still have events that they cannot send, after everything was healed")
            break
        await asyncio.sleep(0.05)
    await _plateau(world)
    for mod in world.mods.values():
        mod.happen()
    with contextlib.suppress(TimeoutError):
        await world.takaro.wait_for(lambda: _all_fresh(world), FRESH_WITHIN_S)
    if not _all_fresh(world):
        stuck = [slug for slug, mod in world.mods.items() if world.ledger.newest[slug] < mod.newest]
        complain(f"R: a new event does not arrive after everything was healed: {stuck}")
    await _fresh_writes(world)
    deadline_s = time.monotonic() + STREAMS_EMPTY_WITHIN_S
    while (queued := await world.queued()) and time.monotonic() < deadline_s:
        await asyncio.sleep(0.1)
    if queued:
        complain(f"B: {queued} batches stay in Redis though Takaro has all events")


def _all_fresh(world: "World") -> bool:
    return all(world.ledger.newest[slug] >= mod.newest for slug, mod in world.mods.items())


async def _plateau(world: "World") -> None:
    deadline_s = time.monotonic() + DRAINED_WITHIN_S
    arrived, since_s = -1, time.monotonic()
    while world.ledger.lost:
        now_s = time.monotonic()
        if len(world.ledger.arrivals) != arrived:
            arrived, since_s = len(world.ledger.arrivals), now_s
        if now_s - since_s > PLATEAU_S or now_s > deadline_s:
            return
        await asyncio.sleep(0.1)


async def _fresh_writes(world: "World") -> None:
    if not world.shape.writes:
        return
    asked = await asyncio.gather(*(_fresh_write(world, slug) for slug in world.slugs))
    if failed := [error for error in asked if error]:
        world.run.outcome.complaints.append(f"R: {len(failed)} new writes fail, for example: {failed[0]}")


async def _fresh_write(world: "World", slug: str) -> str | None:
    number = 1 + max((n for s, n in world.ledger.requests if s == slug), default=0)
    text = marks.write("cmd", slug, number, "write", world.run.chance)
    return (await world.takaro.ask_write(slug, world.identity(slug), text, number)).error


async def judge(world: "World") -> None:
    """Count, and add a complaint to the outcome for each broken invariant."""
    scenario, ledger, outcome = world.run.scenario, world.ledger, world.run.outcome
    end = await measure(world.services, world.store)
    stops = await asyncio.gather(*(_stop_in_order(service) for service in world.services))
    disordered, repeats = invariants.order(ledger), invariants.repeats(ledger)
    found = [
        *invariants.conservation(ledger),
        *disordered,
        *invariants.duplicates(ledger, scenario.repeats),
        *invariants.single_owner(
            ledger, scenario.late_writes * sum(len(fault.affected) for fault in ledger.faults)
        ),
        *invariants.commands(ledger),
        *invariants.integrity(ledger),
        *filter(None, stops),
    ]
    growth = GROWTH | {"fds": GROWTH["fds"] + len(world.slugs)}
    for part, base in world.base.items():
        found += invariants.bounded(part, base, end.get(part, {}), growth)
    secrets = [world.registration_token, *map(world.identity, world.slugs), *map(world.mod_key, world.slugs)]
    for service in world.services:
        found += invariants.hygiene(service.label, service.log, secrets)
    outcome.accepted += len({(event.instance, event.number) for event in ledger.accepted})
    outcome.lost += len(ledger.lost)
    outcome.repeated += sum(repeats.values())
    outcome.repeated_per_fault = max(outcome.repeated_per_fault, *repeats.values(), 0)
    outcome.disordered += len(disordered)
    outcome.writes += len(ledger.requests)
    runs = Counter((run.instance, run.number) for run in ledger.executions if run.number)
    outcome.executed += len(runs)
    outcome.double_writes += sum(count - 1 for count in runs.values())
    outcome.recoveries += invariants.recoveries(ledger)
    outcome.complaints += found


async def _stop_in_order(service: Service) -> str:
    """Stop a healed service. Returns a complaint unless it ends with exit code 0, else ""."""
    if not service.running:
        return ""
    try:
        code = await service.stop()
    except TimeoutError:
        return f"L: {service.label} did not stop in time"
    return f"L: {service.label} ended with {code}" if code else ""
