"""Whatever happens to a link, each open request is answered before its socket closes."""

import asyncio
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from services.relay.instances.facts import facts_of
from services.relay.protocol.errors import LostLease
from services.relay.protocol.keys import keys_of
from services.relay.protocol.records import Outcome
from services.relay.protocol.vocabulary import Action
from services.relay.service.lifecycle import cancelled
from services.sim.takaro import requests
from services.sim.takaro.socket import Answer
from services.uplink.connection.link_times import LinkTimes
from services.uplink.requests import handler
from services.uplink.requests.mirror.mirror import Mirror
from services.uplink.takaro import frames
from tests.support.linked import Linked, LinkedUplink
from tests.support.log_lines import without_repetitions
from tests.support.waiting import until

MAY_HAVE_RUN = "it may have run"
NOT_DELIVERED = "not delivered"

SOON_S = 5.0
"""Less than the time in which a command expires by itself."""


def write(linked: Linked) -> asyncio.Task[Answer]:
    args = requests.send_message("hello")
    return asyncio.create_task(linked.takaro.request(linked.identity, Action.SEND_MESSAGE, args))


async def waiting(linked: Linked, count: int) -> None:
    async def queued() -> bool:
        return (await facts_of(linked.store, linked.slug)).commands == count

    await until(queued)


async def left(uplink: LinkedUplink, within_s: float, **how: bool) -> None:
    await uplink.hand_over()
    await uplink.leave(within_s, **how)
    await uplink.running


async def test_a_result_that_comes_in_time_is_the_answer(linked: Linked) -> None:
    owner = await linked.owner()
    asked = write(linked)
    command = await linked.fetched()
    leaving = asyncio.create_task(left(owner, 8.0))
    await until(lambda: not owner.lease.held)
    assert await linked.commands.complete(command.operation_id, Outcome({}), {})
    assert (await asked).error is None
    await leaving
    assert linked.sockets() == []


async def test_a_fetched_command_without_a_result_in_time_may_have_run(linked: Linked) -> None:
    owner = await linked.owner()
    asked = write(linked)
    await linked.fetched()
    await left(owner, 1.5)
    answer = await asked
    assert answer.error and "delivered, no result" in answer.error and MAY_HAVE_RUN in answer.error
    assert linked.sockets() == []


async def test_a_command_that_no_poll_will_fetch_is_refused_and_never_handed_out(
    linked: Linked,
) -> None:
    owner = await linked.owner()
    asked = [write(linked) for _ in range(3)]
    await waiting(linked, 3)
    await asyncio.wait_for(left(owner, 60.0, mod_polls=False), SOON_S)
    for answer in await asyncio.gather(*asked):
        assert answer.error and NOT_DELIVERED in answer.error
    assert await linked.commands.take() == []


async def test_a_request_on_a_socket_that_is_left_is_answered(linked: Linked) -> None:
    owner = await linked.owner()
    ann = {"gameId": "76561198000000001", "name": "Ann", "steamId": "76561198000000001"}
    await linked.append_events({"type": "player-connected", "data": {"player": ann}})
    await linked.takaro.wait_for(lambda: linked.takaro.events(linked.identity))
    await linked.emptied()
    first = write(linked)
    command = await linked.fetched(Action.SEND_MESSAGE)
    leaving = asyncio.create_task(left(owner, 60.0, has_successor=False))
    await until(lambda: not owner.lease.held)
    refused = await write(linked)
    assert refused.error and NOT_DELIVERED in refused.error
    place = await linked.takaro.request(
        linked.identity, Action.GET_PLAYER_LOCATION, requests.get_player(ann["gameId"])
    )
    assert place.error is None  # an error would lose an event at Takaro
    assert await linked.commands.complete(command.operation_id, Outcome({}), {})
    assert (await first).error is None
    await leaving


async def test_reads_that_wait_are_answered_when_the_link_is_left(linked: Linked) -> None:
    owner = await linked.owner()
    asked = [
        asyncio.create_task(linked.takaro.request(linked.identity, action))
        for action in (Action.GET_PLAYERS, Action.LIST_BANS, Action.LIST_ITEMS)
    ]
    await waiting(linked, 3)
    await asyncio.wait_for(left(owner, 60.0, mod_polls=False), SOON_S)
    await asyncio.wait_for(asyncio.gather(*asked), SOON_S)
    assert linked.sockets() == []


async def test_a_socket_stays_open_until_takaro_asks_another_one(linked: Linked) -> None:
    owner = await linked.owner()
    elsewhere = asyncio.Event()
    await owner.hand_over()
    leaving = asyncio.create_task(owner.leave(60.0, elsewhere=elsewhere))
    for _ in range(3):
        assert (await linked.takaro.request(linked.identity, Action.TEST_REACHABILITY)).error is None
        await asyncio.sleep(0.05)  # it might close meanwhile
    elsewhere.set()
    await leaving
    assert linked.sockets() == []


async def test_a_cancelled_link_answers_open_requests_and_leaves_no_command_behind(linked: Linked) -> None:
    owner = await linked.owner()
    handed = write(linked)
    await linked.fetched()
    queued = write(linked)
    await waiting(linked, 1)
    await cancelled(owner.running)
    for answer in await asyncio.gather(handed, queued):
        assert answer.error and MAY_HAVE_RUN in answer.error
    await asyncio.wait_for(waiting(linked, 0), SOON_S)
    assert await linked.commands.take() == []


async def test_a_request_is_answered_before_its_socket_closes_because_a_new_identify_is_refused(
    linked: Linked,
) -> None:
    await linked.owner()
    asked = write(linked)
    await linked.fetched(Action.SEND_MESSAGE)
    linked.takaro.faults.internal_errors()
    linked.takaro.faults.refuse_identify("the plan is full")
    await linked.append(1)
    answer = await asked
    assert answer.error and MAY_HAVE_RUN in answer.error


async def test_an_uplink_that_lost_the_lease_answers_before_its_socket_closes(linked: Linked) -> None:
    former = await linked.owner()
    asked = write(linked)
    command = await linked.fetched()
    await former.stop_renewing()
    await linked.store.send("HSET", keys_of(linked.slug).lease, "token", "somebody else")
    await linked.append(1)
    await until(lambda: former.count("dayz_relay_fenced_total", operation="ack") >= 1)
    assert await linked.commands.complete(command.operation_id, Outcome({}), {})
    former.owned.wake(events=False, results=True)  # as the hint does
    assert (await asked).error is None
    with pytest.raises(LostLease):
        await asyncio.wait_for(former.running, 30.0)


# Faults of ours


def failing(*_: Any, **__: Any) -> Any:
    raise RuntimeError("by a fault of ours")


@pytest.mark.parametrize("name", ["read_request", "payload_for"])
async def test_a_request_that_fails_by_a_fault_of_ours_is_answered_with_an_error(
    linked: Linked, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    owner = await linked.owner()
    with monkeypatch.context() as broken:
        broken.setattr(handler, name, failing)
        asked = write(linked)
        if name == "payload_for":
            command = await linked.fetched()
            assert await linked.commands.complete(command.operation_id, Outcome({}), {})
        answer = await asked
    assert answer.error and "a fault of its own" in answer.error
    assert f"[{linked.slug}] a fault of the program in a request" in caplog.text
    assert owner.count("dayz_relay_faults_total", kind="request") >= 1
    assert (await linked.takaro.request(linked.identity, Action.TEST_REACHABILITY)).error is None


async def test_a_frame_that_fails_by_a_fault_of_ours_costs_no_other_and_is_logged_once(
    linked: Linked, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    owner = await linked.owner()
    read = frames.read_frame
    monkeypatch.setattr(frames, "read_frame", lambda text: failing() if b"poison" in text else read(text))
    [link] = linked.takaro.sockets(linked.identity)
    with without_repetitions(caplog):
        for _ in range(3):
            await link.connection.send('{"type":"poison"}')
        assert (await linked.takaro.request(linked.identity, Action.TEST_REACHABILITY)).error is None
    assert owner.count("dayz_relay_faults_total", kind="frame") == 3
    assert caplog.text.count("a fault of the program in a frame") == 1 and linked.slug in caplog.text


async def test_a_result_that_cannot_be_read_keeps_no_other_back(linked: Linked) -> None:
    await linked.owner()
    first, second = write(linked), write(linked)
    await waiting(linked, 2)
    odd, good = (command.operation_id for command in await linked.commands.take())
    results = keys_of(linked.slug).results
    await linked.store.send("XADD", results, "*", "operation", odd, "outcome", b"no JSON")
    assert await linked.commands.complete(good, Outcome({}), {})
    answers = await asyncio.wait_for(asyncio.gather(first, second), SOON_S)
    assert sorted(bool(answer.error) for answer in answers) == [False, True]


async def test_a_write_that_was_run_succeeds_when_the_mirror_fails(
    linked: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await linked.owner()
    monkeypatch.setattr(Mirror, "take_write", failing)
    asked = write(linked)
    command = await linked.fetched()
    assert await linked.commands.complete(command.operation_id, Outcome({}), {})
    assert (await asked).error is None
    assert owner.count("dayz_relay_faults_total", kind="listener") == 1


async def test_a_socket_that_ends_by_our_fault_is_logged_with_its_instance_and_dialled_again(
    linked: Linked, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    owner = await linked.owner()
    [first] = linked.sockets()
    with monkeypatch.context() as broken:
        broken.setattr(ClientConnection, "recv", failing)
        owner.owned.link.reconnect()
        await until(lambda: f"[{linked.slug}] a fault of the program in a frame" in caplog.text)
    linked.takaro.drop_connections()
    await until(lambda: owner.owned.link.identified and linked.sockets() > [first])


async def test_a_pump_that_fails_by_a_fault_of_ours_is_begun_again_and_the_socket_stays(
    linked: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked.times = LinkTimes(begin_again_s=0.05)
    owner = await linked.owner()
    [first] = linked.sockets()
    with monkeypatch.context() as broken:
        broken.setattr(frames, "game_event", failing)
        await linked.append(1)
        await until(lambda: owner.count("dayz_relay_faults_total", kind="loop") >= 2)
    await linked.arrived(1)
    assert linked.sockets() == [first] and not owner.running.done()


async def test_an_event_is_sent_when_the_mirror_fails(
    linked: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await linked.owner()
    monkeypatch.setattr(Mirror, "take_event", failing)
    await linked.append(1)
    await linked.arrived(1)
    await linked.emptied()
    assert owner.count("dayz_relay_faults_total", kind="listener") == 1
