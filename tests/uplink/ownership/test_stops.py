"""Uplinks stop, and instances are removed or changed, while requests of Takaro are open."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from operator import not_
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.relay.instances.facts import facts_of
from services.relay.protocol.keys import UPLINKS, keys_of
from services.relay.protocol.link_states import LinkState
from services.relay.protocol.records import Command, Outcome
from services.relay.protocol.vocabulary import Action
from services.relay.service.lifecycle import cancelled
from services.relay.service.settings import Instance
from services.relay.store.client import Store
from services.relay.store.command_stream import CommandStream
from services.sim.takaro import requests
from services.sim.takaro.socket import Answer
from services.uplink.connection.identify_turns import identify_turn
from services.uplink.context import UplinkContext
from services.uplink.ownership.fleet import Fleet, FleetTimes
from services.uplink.ownership.instance_owner import CHECK_ELSEWHERE_EVERY_S, InstanceOwner
from services.uplink.reporting.link_status import LinkStatus
from services.uplink.reporting.metrics import UplinkMetrics
from tests.support.faulty_takaro import FaultyTakaro
from tests.support.linked import TOKEN
from tests.support.log_lines import without_repetitions
from tests.support.waiting import until


@dataclass
class StoppingFleets:
    """A Takaro, a store, and uplinks that share instances. The test acts as the mods."""

    takaro: FaultyTakaro
    store: Store
    slug: str
    uplinks: dict[asyncio.Task[None], Fleet] = field(default_factory=dict)

    def instance(self, slug: str, name: str = "") -> Instance:
        return Instance(
            slug=slug,
            name=name or f"Server {slug}",
            identity_token=SecretStr(f"identity-{slug}"),
            registration_token=SecretStr(TOKEN),
        )

    def start(self, *others: str, **times: float) -> asyncio.Task[None]:
        turns = partial(identify_turn, self.store)
        uplink = Fleet(
            UplinkContext(self.takaro.url, self.store, UplinkMetrics(CollectorRegistry()), turns, 50.0),
            FleetTimes(renew_every_s=0.1, beat_every_s=0.1, **times),
        )
        uplink.update({slug: self.instance(slug) for slug in (self.slug, *others)})
        running = asyncio.create_task(uplink.run())
        self.uplinks[running] = uplink
        return running

    async def linked(self, slug: str = "", times: int = 1) -> None:
        identity = f"identity-{slug or self.slug}"
        await self.takaro.wait_for(lambda: len(self.takaro.identifies(identity)) >= times)

    def write(self) -> asyncio.Task[Answer]:
        args = requests.send_message("hello")
        return asyncio.create_task(self.takaro.request(f"identity-{self.slug}", Action.SEND_MESSAGE, args))

    async def fetched(self) -> Command:
        taken: list[Command] = []

        async def found() -> bool:
            taken.extend(await CommandStream(self.store, self.slug).take())
            return bool(taken)

        await until(found)
        return taken[0]

    async def complete(self, command: Command) -> None:
        assert await CommandStream(self.store, self.slug).complete(command.operation_id, Outcome({}), {})


async def beat(store: Store, uplink: str) -> None:
    """Beats like an uplink of this name."""
    while True:
        await store.send("HINCRBY", UPLINKS, uplink, 1)
        await asyncio.sleep(0.05)


@pytest.fixture
async def fleets(store: Store, slug: str) -> AsyncIterator[StoppingFleets]:
    await store.send("DEL", UPLINKS)
    async with FaultyTakaro(registration_tokens={TOKEN}, ask_location=False) as takaro:
        fleets = StoppingFleets(takaro, store, slug)
        yield fleets
        await asyncio.gather(*map(cancelled, fleets.uplinks))


async def test_an_uplink_that_stops_answers_its_requests_after_another_has_taken_over(
    fleets: StoppingFleets,
) -> None:
    first = fleets.start()
    await fleets.linked()
    second = fleets.start()
    await until(lambda: len(fleets.uplinks[first].heartbeat.members.alive) == 2)
    asked = fleets.write()
    command = await fleets.fetched()
    stopping = asyncio.create_task(cancelled(first))
    await fleets.linked(times=2)
    asked_of_second = fleets.write()
    await fleets.complete(await fleets.fetched())
    assert (await asked_of_second).error is None
    assert not first.done()
    await fleets.complete(command)
    assert (await asked).error is None
    await stopping
    assert not second.done()


async def test_the_only_uplink_answers_all_open_requests_before_it_ends(fleets: StoppingFleets) -> None:
    only = fleets.start()
    await fleets.linked()
    handed = fleets.write()
    command = await fleets.fetched()
    stopping = asyncio.create_task(cancelled(only))
    await until(lambda: not fleets.uplinks[only].owners[fleets.slug].lease.held)
    late = await fleets.write()
    assert late.error and "not delivered" in late.error
    await fleets.complete(command)
    assert (await handed).error is None
    await asyncio.wait_for(stopping, 7.0)  # not at the 8 s of each stop


async def test_a_stop_waits_for_another_uplink_only_while_that_one_is_alive(fleets: StoppingFleets) -> None:
    first = fleets.start(alive_for_s=0.5, stop_within_s=60.0)
    await fleets.linked()
    beating = asyncio.create_task(beat(fleets.store, "takes-nothing-over"))
    await until(lambda: len(fleets.uplinks[first].heartbeat.members.alive) == 2)
    stopping = asyncio.create_task(cancelled(first))
    await asyncio.wait([stopping], timeout=1.5)
    assert not stopping.done()
    await cancelled(beating)  # killed: it does not sign off
    await asyncio.wait_for(stopping, 30.0)


async def test_open_requests_of_a_removed_instance_are_answered(fleets: StoppingFleets) -> None:
    only = fleets.start()
    await fleets.linked()
    handed = fleets.write()
    command = await fleets.fetched()
    queued = fleets.write()
    await until(lambda: facts_of(fleets.store, fleets.slug), met=lambda facts: facts.commands)
    fleets.uplinks[only].update({})
    answer = await asyncio.wait_for(queued, 7.0)  # not at its own 7.5 s
    assert answer.error and "not delivered" in answer.error
    assert await CommandStream(fleets.store, fleets.slug).take() == []
    await fleets.complete(command)  # its mod had it before
    assert (await handed).error is None
    await fleets.takaro.wait_for(lambda: not fleets.takaro.is_connected(f"identity-{fleets.slug}"))


async def test_a_changed_instance_gets_a_new_socket_while_its_old_one_still_answers(
    fleets: StoppingFleets,
) -> None:
    only = fleets.start()
    await fleets.linked()
    handed = fleets.write()
    command = await fleets.fetched()
    fleets.uplinks[only].update({fleets.slug: fleets.instance(fleets.slug, "Another name")})
    await fleets.linked(times=2)
    await asyncio.wait([handed], timeout=3 * CHECK_ELSEWHERE_EVERY_S)  # by then the old socket could go
    assert not handed.done()
    await fleets.complete(command)
    assert (await handed).error is None
    identity = f"identity-{fleets.slug}"
    await fleets.takaro.wait_for(lambda: len(fleets.takaro.sockets(identity)) == 1)
    assert fleets.takaro.sockets(identity)[0].number == fleets.takaro.asked_socket(identity)


async def test_the_end_of_a_link_whose_lease_was_lost_is_not_shown_for_the_link_that_follows(
    fleets: StoppingFleets, monkeypatch: pytest.MonkeyPatch
) -> None:
    show, shown = LinkStatus.show, list[LinkState]()

    def recording(status: LinkStatus, state: LinkState, game_server_id: str = "") -> None:
        show(status, state, game_server_id)
        shown.append(state)

    monkeypatch.setattr(LinkStatus, "show", recording)
    only = fleets.start()
    await fleets.linked()
    asked, command = fleets.write(), await fleets.fetched()  # keeps the first link open
    lease = keys_of(fleets.slug).lease
    await fleets.store.send("DEL", lease)
    await fleets.store.send("HSET", lease, "token", "of an uplink that dies at once", "beat", "1")
    await fleets.store.send("PEXPIRE", lease, "500")
    await fleets.linked(times=2)
    await until(lambda: fleets.uplinks[only].owners[fleets.slug].lease.held)
    await fleets.complete(command)
    assert (await asked).error is None
    await until(lambda: LinkState.STOPPED in shown)  # the first link has ended
    assert (await facts_of(fleets.store, fleets.slug)).link == "ready"


async def test_a_stop_shortens_the_closing_of_other_links(fleets: StoppingFleets) -> None:
    only = fleets.start(stop_within_s=1.5)
    await fleets.linked()
    handed = fleets.write()
    await fleets.fetched()
    fleets.uplinks[only].update({})
    await until(lambda: fleets.store.send("EXISTS", keys_of(fleets.slug).lease), met=not_)
    await asyncio.wait_for(asyncio.gather(cancelled(only), handed), 7.0)  # not the command's own 9 s
    answer = handed.result()
    assert answer.error and "it may have run" in answer.error


async def test_an_instance_that_fails_by_a_fault_of_ours_stops_no_other(
    fleets: StoppingFleets, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tend, odd = InstanceOwner.tend, f"{fleets.slug}-odd"
    failed = 0

    async def failing(owner: InstanceOwner, **how: Any) -> None:
        nonlocal failed
        if owner.instance.slug == odd:
            failed += 1
            raise RuntimeError("by a fault of ours")
        await tend(owner, **how)

    monkeypatch.setattr(InstanceOwner, "tend", failing)
    with without_repetitions(caplog):
        only = fleets.start(odd)
        await fleets.linked()
        await until(lambda: f"[{odd}] a fault of the program in a loop" in caplog.text)
        await until(lambda: failed > 3)
    assert not only.done() and caplog.text.count("a fault of the program") == 1
