"""F47 to F49: sockets end while Takaro waits for answers on them, by a stop, a move, a change or a removal.

Mods need 1 or 4 s to run a command, so that some request is always open.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress

from services.relay.protocol.command_states import MAY_HAVE_RUN, NOT_DELIVERED
from services.relay.protocol.vocabulary import Action
from services.sim.takaro import requests
from tests.faults import invariants
from tests.faults.registry import scenario
from tests.faults.shape import Shape
from tests.faults.world import Run, World
from tests.support.relay_process import Service

SLOW_S = (4.0, 1.0)
OPEN = Shape(instances=6, uplinks=2, rate=4.0, writes=3.0, poll_s=0.5)
READ_EVERY_S = (0.3, 0.9)
WITHIN_S = 40.0
MOVES_WITHIN_S = 10.0


@scenario(
    "F47",
    "uplinks stop and start in turn with requests open",
    cycles=20,
    short=1,
    recovery_s=1.5,
    repeats=0,
)
async def stops_and_moves(run: Run) -> None:
    async with _world(run) as (world, ended):
        for _ in range(run.cycles):
            uplink = run.chance.choice([one for one in world.uplinks if world.owned_by(one)])
            await run.pause(0.2, 1.0)
            owned = world.owned_by(uplink)
            ended["stopped"] += len(owned)
            fault = world.fault("uplink stopped", *owned)
            await _stop(run, uplink)
            await world.recovered(fault)
            before = dict(world.ledger.owner)
            await uplink.start()
            with suppress(TimeoutError):  # one time in 64 no instance belongs to it
                await world.takaro.wait_for(lambda uplink=uplink: world.owned_by(uplink), MOVES_WITHIN_S)
            await world.until_settled()
            ended["moved"] += sum(world.ledger.owner[slug] != owner for slug, owner in before.items())
        asked = [*world.ledger.requests.values(), *world.ledger.reads]
    unheard = sum(not request.socket_open and invariants.ran_out(request) for request in asked)
    run.must(
        not unheard,
        f"Takaro asks no closed socket while another uplink is connected; {unheard} requests were lost",
    )


@scenario("F48", "servers are removed and changed with requests open", cycles=20, short=1, repeats=0)
async def removals_and_changes(run: Run) -> None:
    async with _world(run) as (world, ended):
        for cycle in range(run.cycles):
            await run.pause(0.2, 1.0)
            gone = run.chance.sample(world.slugs, 2)
            ended["removed"] += len(gone)
            _configure(world, lambda toml, gone=gone: _without(toml, gone))
            await world.takaro.wait_for(
                lambda gone=gone: not any(world.takaro.is_connected(world.identity(s)) for s in gone),
                WITHIN_S,
            )
            changed = [slug for slug in world.slugs if slug not in gone][:2]
            seen = {slug: len(world.takaro.identifies(world.identity(slug))) for slug in world.slugs}
            ended["changed"] += len(changed)
            _configure(world, lambda toml, changed=changed, cycle=cycle: _renamed(toml, changed, cycle))
            await world.takaro.wait_for(
                lambda seen=seen, wanted=(*gone, *changed): all(
                    len(world.takaro.identifies(world.identity(slug))) > seen[slug] for slug in wanted
                ),
                WITHIN_S,
            )
            await world.takaro.wait_for(
                lambda: all(len(world.takaro.sockets(world.identity(slug))) == 1 for slug in world.slugs),
                WITHIN_S,
            )


@scenario("F49", "all uplinks stop at once with requests open", cycles=20, repeats=0)
async def all_stop(run: Run) -> None:
    async with _world(run) as (world, ended):
        for _ in range(run.cycles):
            await run.pause(0.2, 1.0)
            ended["stopped"] += len(world.slugs)
            fault = world.fault("all uplinks stopped")
            await asyncio.gather(*(_stop(run, uplink) for uplink in world.uplinks))
            await asyncio.gather(*(uplink.start() for uplink in world.uplinks))
            world.healed(fault)
            await world.recovered(fault)


@asynccontextmanager
async def _world(run: Run) -> AsyncIterator[tuple[World, Counter[str]]]:
    """A world in which Takaro also reads, and a count of the sockets that the scenario ends. Every
    request must be answered."""
    ended = Counter[str]()
    async with run.world(OPEN) as world:
        for number, mod in enumerate(world.mods.values()):
            mod.run_s = SLOW_S[number % len(SLOW_S)]
        reading = [asyncio.create_task(_keep_reading(world, slug)) for slug in world.slugs]
        await run.pause(2.0, 3.0)
        try:
            yield world, ended
        finally:
            for task in reading:
                task.cancel()
            await asyncio.gather(*reading, return_exceptions=True)
        await world.quieten()
        for mod in world.mods.values():
            mod.run_s = 0.0
    ledger = world.ledger
    run.outcome.complaints += invariants.answers(ledger)
    run.note("sockets that ended", dict(ended))
    asked = [*ledger.requests.values(), *ledger.reads]
    run.note("requests", sum(request.socket_open for request in asked))
    told = Counter(_told(request.error) for request in ledger.requests.values() if request.socket_open)
    run.note("writes, by what Takaro heard", dict(told))
    run.note("crossed the close of their socket", sum(map(invariants.crossed, invariants.timed_out(ledger))))


def _told(error: str | None) -> str:
    for words in (NOT_DELIVERED, MAY_HAVE_RUN, "it may have run", "Request timed out"):
        if error and words in error:
            return words
    return error or "the result"


async def _keep_reading(world: World, slug: str) -> None:
    """Makes Takaro read known and unknown things beside its writes, until cancelled."""
    mod, asking = world.mods[slug], set[asyncio.Task[object]]()
    while True:
        action = mod.chance.choice(
            [Action.GET_PLAYER_LOCATION, Action.GET_PLAYER_INVENTORY, Action.LIST_BANS]
        )
        args = (
            None
            if action is Action.LIST_BANS
            else requests.get_player(mod.chance.choice(mod.players).game_id)
        )
        task = asyncio.create_task(world.takaro.ask_read(slug, world.identity(slug), action, args))
        asking.add(task)
        task.add_done_callback(asking.discard)
        await asyncio.sleep(mod.chance.uniform(*READ_EVERY_S))


async def _stop(run: Run, uplink: Service) -> None:
    code = await uplink.stop()
    run.must(code == 0, f"a stopped uplink ends with 0; it ended with {code}")


def _configure(world: World, change: Callable[[str], str]) -> None:
    """Writes a changed relay.toml for every service. `change` gets the first version each time."""
    for service in world.services:
        config = world.folder / f"{service.label}.toml"
        first = config.with_suffix(".first")
        if not first.exists():
            first.write_text(config.read_text())
        new = config.with_suffix(".new")
        new.write_text(change(first.read_text()))
        new.chmod(0o600)
        new.replace(config)


def _without(toml: str, slugs: Iterable[str]) -> str:
    head, *blocks = toml.split("[[instance]]\n")
    kept = [block for block in blocks if not any(f'slug = "{slug}"\n' in block for slug in slugs)]
    return "[[instance]]\n".join((head, *kept))


def _renamed(toml: str, slugs: Iterable[str], number: int) -> str:
    for slug in slugs:
        toml = toml.replace(f'name = "Server {slug}"', f'name = "Server {slug}, change {number}"')
    return toml
