"""What Takaro refuses, and what the relay does about it, through real processes."""

import httpx
import pytest

from services.relay.protocol.vocabulary import Action
from services.sim.dayz.world import make_player
from services.sim.takaro import requests
from tests.flows.conftest import REGISTRATION_TOKEN, FlowWorld, block
from tests.flows.test_command_line import Command
from tests.support.faulty_takaro import FaultyTakaro
from tests.support.relay_process import RelayProcess
from tests.support.takaro_identify import API_CREDENTIAL
from tests.support.waiting import until

FAILING = (Action.GET_PLAYER, Action.GET_PLAYERS, Action.LIST_BANS)


async def test_an_answer_that_takaro_cannot_use_costs_no_event(single: FlowWorld) -> None:
    """Takaro refuses an answer by an error frame too, under the id of the request."""
    side = single.side("solo")
    side.mod.failing = {action.value: "the game is busy" for action in FAILING}
    side.mod.join(make_player(1))
    args = {Action.GET_PLAYER: requests.get_player("76561198099999999")}

    async def ask_all() -> None:
        for action in FAILING:
            answer = await side.takaro.request(side.identity, action, args.get(action))
            assert answer.raw == {"error": "the game is busy"}

    async def warnings() -> list[int]:
        await ask_all()
        log = single.relay.uplink.log
        return [log.count(f"cannot use the answer to {action}:") for action in FAILING]

    lines = [f"line {number}" for number in range(30)]
    for number, text in enumerate(lines):
        side.mod.log(text)
        if number % 10 == 5:
            await ask_all()
    await side.until(lambda: set(lines) <= set(side.messages()))

    assert side.messages() == lines
    metrics = await single.relay.uplink.metrics()
    assert metrics["dayz_relay_takaro_errors_total{kind=answer}"] == 9
    assert metrics["dayz_relay_takaro_errors_total{kind=invalid}"] == 0
    assert metrics["dayz_relay_events_refused_total"] == 0
    # uplink warns once it has read that the mod has called, up to a second later, and of each action once.
    await until(warnings, met=lambda counts: counts == [1, 1, 1])
    assert await warnings() == [1, 1, 1]
    assert "Takaro refused something" not in single.relay.uplink.log


async def refused(takaro: FaultyTakaro, relay: RelayProcess, slug: str, remedy: str) -> None:
    """It is told once, with the remedy and without any secret, wherever people look; and not hammered."""
    world = FlowWorld(takaro, relay)
    await until(lambda: remedy in relay.uplink.log)
    dialled = takaro.connections
    _, status = await Command(world, "status", slug).run()
    _, doctor = await Command(world, "doctor", "--identify", slug).run()
    async with httpx.AsyncClient(timeout=30) as client:
        page = (await client.get(f"{relay.modapi.admin}/instance/{slug}")).text
        metrics = (await client.get(f"{relay.uplink.admin}/metrics")).text
    servers, identified = doctor.split(f"Identify as {slug}")
    for shown in (status, servers, identified, page):
        assert remedy in " ".join(shown.split())
    assert takaro.connections == dialled + 2  # those of the doctor
    [line] = [line for line in relay.uplink.log.splitlines() if remedy in line]
    assert " ERROR " in line and "trying again" not in line
    for shown in (status, doctor, page, metrics, relay.uplink.log, relay.modapi.log):
        assert API_CREDENTIAL not in shown


async def test_a_name_that_is_taken_at_takaro_is_for_a_person_to_mend() -> None:
    async with FaultyTakaro(registration_tokens={REGISTRATION_TOKEN}) as takaro:
        blocks = [block("one"), block("two").replace("Server two", "Server one")]
        relay = RelayProcess(takaro.url, blocks, REGISTRATION_TOKEN)
        try:
            await relay.start()
            await takaro.wait_for(lambda: takaro.connections == 2)
            [slug] = {"one", "two"} - {identity.removeprefix("identity-") for identity in takaro.servers}
            await refused(takaro, relay, slug, "its name is taken in this Takaro domain")
            assert "two: one has the same name" in relay.uplink.log
        finally:
            await relay.stop()


async def test_a_full_plan_is_for_a_person_to_mend() -> None:
    async with FaultyTakaro(registration_tokens={REGISTRATION_TOKEN}) as takaro:
        takaro.faults.refuse_by_status(400)
        relay = RelayProcess(takaro.url, [block("one")], REGISTRATION_TOKEN)
        try:
            await relay.start()
            await refused(takaro, relay, "one", "the plan at Takaro has no room for one more server")
        finally:
            await relay.stop()


@pytest.mark.parametrize("status", [500, 503])
async def test_a_fault_of_takaros_api_passes(status: int) -> None:
    async with FaultyTakaro(registration_tokens={REGISTRATION_TOKEN}) as takaro:
        takaro.faults.refuse_by_status(status, times=2)
        relay = RelayProcess(takaro.url, [block("one")], REGISTRATION_TOKEN)
        try:
            await relay.start()
            await takaro.wait_for(lambda: takaro.is_connected("identity-one"))
            assert " ERROR " not in relay.uplink.log and API_CREDENTIAL not in relay.uplink.log
            assert f"status code {status}), trying again" in relay.uplink.log
        finally:
            await relay.stop()
