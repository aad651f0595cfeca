"""The sockets of one instance are moved between uplinks, replaced while in use, and closed in order."""

import asyncio
import time
from array import array
from collections.abc import AsyncIterator
from dataclasses import replace
from fcntl import ioctl
from itertools import count, pairwise
from termios import FIONREAD

import pytest

from services.relay.instances.facts import facts_of
from services.relay.protocol.errors import LostLease
from services.relay.protocol.keys import WAKE_EVENTS, keys_of
from services.relay.protocol.records import Outcome
from services.relay.protocol.vocabulary import Action
from services.relay.store.client import Store, pairs
from services.relay.store.event_stream import EventStream
from services.relay.store.repeats import digest
from services.relay.store.stream_entries import EventBatch, PostedEvent
from services.sim.takaro import requests
from services.sim.takaro.socket import SimSocket
from services.uplink.connection import socket_session
from services.uplink.connection.link_times import Delays, LinkTimes
from tests.support.faulty_takaro import FaultyTakaro
from tests.support.linked import TOKEN, Linked, line
from tests.support.old_bridge import SimOldBridge
from tests.support.redis_server import RedisServer
from tests.support.takaro_intake import INTERNAL_ERROR
from tests.support.waiting import until

QUICK = Delays(base_s=0.02, cap_s=0.1)


@pytest.fixture
async def linked(store: Store, slug: str) -> AsyncIterator[Linked]:
    async with FaultyTakaro(registration_tokens={TOKEN}, ask_location=False) as takaro:
        linked = Linked(takaro, store, slug, LinkTimes(QUICK, QUICK, check_every_s=0.02))
        yield linked
        await linked.end()


def unread_bytes(socket: SimSocket) -> int:
    """How much has come over a socket that Takaro does not read."""
    count = array("i", [0])
    ioctl(socket.connection.transport.get_extra_info("socket"), FIONREAD, count)
    return count[0]


def stand_still(for_s: float) -> None:
    """The loop of this process is blocked, as by a freeze."""
    time.sleep(for_s)


async def reach(linked: Linked) -> None:
    """Takaro sends a request that the relay answers by itself."""
    answer = await linked.takaro.request(linked.identity, Action.TEST_REACHABILITY)
    assert answer.error is None


async def test_the_reason_of_takaro_is_shown_until_the_link_is_good(linked: Linked) -> None:
    linked.takaro.faults.refuse_identify("the plan is full")
    uplink = linked.begin()
    await uplink.take()

    async def told() -> bool:
        return "the plan is full" in (await linked.state.link()).why

    await until(told)
    linked.takaro.faults.accept_identify()
    await until(lambda: uplink.owned.link.identified)

    async def over() -> bool:
        info = await linked.state.link()
        return info.state == "ready" and not info.why

    await until(over)


async def test_an_orderly_close_by_takaro_is_logged_and_so_is_the_new_link(
    linked: Linked, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await linked.owner()
    [socket] = linked.takaro.sockets(linked.identity)
    await socket.connection.close(1001)
    await linked.takaro.wait_for(lambda: len(linked.takaro.identifies(linked.identity)) == 2)
    await until(lambda: caplog.text.count("linked to Takaro") == 2)
    _, between, _ = caplog.text.split("linked to Takaro")
    assert "has closed the socket (received 1001" in between and "out of reach" not in between


async def test_the_reason_of_a_refusal_stays_if_takaro_does_not_answer_the_close_frame(
    linked: Linked, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    linked.times = replace(linked.times, identified_within_s=0.2)
    linked.takaro.faults.silent = True
    await linked.begin().take()
    await until(lambda: linked.takaro.sockets())
    [socket] = linked.takaro.sockets()
    socket.connection.transport.pause_reading()
    await linked.takaro.wait_for(lambda: linked.takaro.connections >= 2)
    socket.connection.transport.resume_reading()
    assert "Takaro refuses this server (no answer" in caplog.text
    assert "out of reach" not in caplog.text


# From uplink to uplink


async def test_an_uplink_that_stands_by_identifies_and_answers_but_sends_no_event(linked: Linked) -> None:
    first = await linked.owner()
    second = linked.begin()
    await until(lambda: second.owned.link.identified)
    await linked.append(1, 2)
    await linked.arrived(1, 2)
    old, new = linked.sockets()
    await reach(linked)
    assert [link.requests for link in linked.takaro.sockets(linked.identity)] == [0, 1]
    assert {event.socket for event in linked.takaro.events(linked.identity)} == {old}
    await first.hand_over()
    await second.take()
    await linked.append(3)
    await linked.arrived(3)
    assert linked.takaro.events(linked.identity)[-1].socket == new


async def test_a_drain_ends_when_the_last_event_is_acknowledged(linked: Linked) -> None:
    linked.times = replace(linked.times, drain_within_s=60.0)
    first = await linked.owner()
    await linked.append(1)
    await linked.arrived(1)
    async with asyncio.timeout(30):
        await first.owned.drain()
    assert (await facts_of(linked.store, linked.slug)).events == 0


async def test_a_steady_flow_moves_to_another_uplink_in_order_without_repeats_and_without_a_gap(
    linked: Linked,
) -> None:
    first = await linked.owner()
    numbers = count()

    async def flow() -> None:
        while True:
            await linked.append(next(numbers), next(numbers))
            await asyncio.sleep(0.01)

    flowing = asyncio.create_task(flow())
    await linked.arrived(20)
    second = linked.begin()
    await until(lambda: second.owned.link.identified)
    await asyncio.gather(first.hand_over(), second.take())
    await first.leave(5.0)
    await first.running
    seen = len(linked.lines())
    await linked.takaro.wait_for(lambda: len(linked.lines()) > seen + 20)
    flowing.cancel()
    last = next(numbers) - 3  # the batch that was cancelled may be missing
    await linked.arrived(last)
    assert linked.lines()[: last + 1] == [f"line {number}" for number in range(last + 1)]
    at_s = [event.at for event in linked.takaro.events(linked.identity)]
    assert max(later - sooner for sooner, later in pairwise(at_s)) < 4.5  # a lost lease would cost 5 s
    assert first.count("dayz_relay_events_resent_total", cause="reconnect") == 0
    assert linked.sockets() == [linked.takaro.asked_socket(linked.identity)]


async def test_a_former_owner_answers_its_open_requests_and_then_ends(linked: Linked) -> None:
    first = await linked.owner()
    asked = asyncio.create_task(linked.takaro.request(linked.identity, Action.GET_PLAYERS))
    command = await linked.fetched()
    second = linked.begin()
    await until(lambda: second.owned.link.identified)
    await first.hand_over()
    await second.take()
    closing_times = asyncio.create_task(first.leave(5.0))
    await asyncio.sleep(0.1)  # by now an idle socket would have been closed
    assert len(linked.sockets()) == 2
    assert await linked.commands.complete(command.operation_id, Outcome([]), {})
    assert (await asked).value == []
    await closing_times
    await asyncio.wait_for(first.running, 30.0)
    assert len(linked.sockets()) == 1
    await until(lambda: _no_results(linked))
    assert second.count("dayz_relay_results_unclaimed_total") == 0


async def _no_results(linked: Linked) -> bool:
    return await linked.commands.results("", 10) == []


async def test_an_uplink_that_stands_by_gets_results_without_the_lease(linked: Linked) -> None:
    await linked.owner()
    second = linked.begin()
    await until(lambda: second.owned.link.identified)
    asked = asyncio.create_task(
        linked.takaro.request(linked.identity, Action.SEND_MESSAGE, requests.send_message("hello"))
    )
    command = await linked.fetched()
    assert await linked.commands.complete(command.operation_id, Outcome({}), {})
    assert (await asked).error is None


async def test_leaving_ends_a_socket_that_was_still_dialled(linked: Linked) -> None:
    linked.takaro.faults.silent = True
    first = linked.begin()
    await linked.takaro.wait_for(lambda: linked.takaro.connections == 1)
    await first.leave(5.0)
    await asyncio.wait_for(first.running, 30.0)


async def test_draining_gives_up_on_a_takaro_that_says_nothing(linked: Linked) -> None:
    linked.times = replace(linked.times, drain_within_s=0.3)
    first = await linked.owner()
    [socket] = linked.takaro.sockets(linked.identity)
    socket.connection.transport.pause_reading()
    await linked.append(1)
    await until(lambda: unread_bytes(socket))
    await asyncio.wait_for(first.hand_over(), 30.0)
    socket.connection.transport.resume_reading()
    assert first.count("dayz_relay_events_resent_total", cause="reconnect") == 1


async def test_the_state_that_is_shown_is_that_of_the_owner(linked: Linked) -> None:
    first = await linked.owner()
    second = linked.begin()
    await until(lambda: second.owned.link.identified)

    async def status() -> str:
        return (await linked.state.link()).state

    assert await status() == "ready"
    await first.hand_over()
    assert await status() == "stopped"
    await second.take()
    await until(lambda: _is(linked, "ready"))
    await first.leave(1.0)
    await first.running
    assert await status() == "ready"


async def _is(linked: Linked, state: str) -> bool:
    return (await linked.state.link()).state == state


async def test_writes_of_a_former_owner_are_refused_and_counted(linked: Linked) -> None:
    first = await linked.owner()
    await linked.append(1)
    await linked.arrived(1)
    await linked.emptied()
    await first.stop_renewing()
    await linked.store.send("HSET", keys_of(linked.slug).lease, "token", "somebody else")
    await linked.append(2)
    with pytest.raises(LostLease):
        await asyncio.wait_for(first.running, 30.0)
    assert first.count("dayz_relay_fenced_total", operation="ack") == 1
    assert linked.sockets() == []


# Replaced while in use


async def test_a_socket_past_its_age_is_replaced_without_a_lost_event_or_request(linked: Linked) -> None:
    linked.times = replace(linked.times, replace_after_requests=10)
    owner = await linked.owner()
    [first] = linked.sockets()
    for number in range(0, 200, 4):
        await linked.append(*range(number, number + 4))
        await reach(linked)
    await linked.arrived(199)
    await linked.emptied()

    async def replaced_twice() -> bool:
        await reach(linked)  # a busy machine may have had the requests so far on a single socket
        return owner.count("dayz_relay_takaro_recycled_total") >= 2

    await until(replaced_twice)
    await until(lambda: len(linked.sockets()) == 1)
    assert linked.sockets() > [first]
    assert linked.lines() == [f"line {number}" for number in range(200)]
    assert owner.count("dayz_relay_events_resent_total", cause="reconnect") == 0
    assert owner.turns == len(linked.takaro.identifies(linked.identity))


async def test_an_old_socket_is_replaced(linked: Linked) -> None:
    linked.times = replace(linked.times, replace_after_s=0.2)
    owner = await linked.owner()
    await until(lambda: owner.count("dayz_relay_takaro_recycled_total") >= 2)


async def test_a_request_is_answered_on_its_socket_while_another_is_in_use(linked: Linked) -> None:
    owner = await linked.owner()
    [first] = linked.sockets()
    asked = asyncio.create_task(linked.takaro.request(linked.identity, Action.GET_PLAYERS))
    command = await linked.fetched()
    owner.owned.link.reconnect()
    await until(lambda: linked.takaro.asked_socket(linked.identity) != first)
    await linked.append(1)
    await linked.arrived(1)
    assert len(linked.sockets()) == 2
    assert await linked.commands.complete(command.operation_id, Outcome([]), {})
    assert (await asked).value == []
    await until(lambda: len(linked.sockets()) == 1)
    assert first not in linked.sockets()


async def test_a_socket_goes_on_while_its_successor_is_refused(linked: Linked) -> None:
    owner = await linked.owner()
    [first] = linked.sockets()
    linked.takaro.faults.refuse_identify("Internal server error")
    owner.owned.link.reconnect()
    await until(lambda: owner.turns >= 4)
    await linked.append(1)
    await linked.arrived(1)
    linked.takaro.faults.accept_identify()
    await until(lambda: first not in linked.sockets() and len(linked.sockets()) == 1)
    assert owner.count("dayz_relay_takaro_connects_total") == owner.turns >= 5
    await linked.append(2)
    await linked.arrived(2)
    assert linked.lines() == ["line 1", "line 2"]
    assert [event.socket for event in linked.takaro.events(linked.identity)] == [first, *linked.sockets()]


async def test_events_go_over_the_new_socket_when_the_old_one_says_nothing_any_more(linked: Linked) -> None:
    linked.times = replace(linked.times, drain_within_s=0.3)
    owner = await linked.owner()
    [old] = linked.takaro.sockets(linked.identity)
    old.connection.transport.pause_reading()
    await linked.append(1)
    await until(lambda: unread_bytes(old))
    owner.owned.link.reconnect()
    await linked.arrived(1)
    assert owner.count("dayz_relay_events_resent_total", cause="reconnect") == 1


async def test_a_socket_that_takes_no_more_bytes_is_found_by_the_pings(
    linked: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_session, "PING_EVERY_S", 0.5)
    monkeypatch.setattr(socket_session, "PONG_WITHIN_S", 0.5)
    owner = await linked.owner()
    [old] = linked.takaro.sockets(linked.identity)
    old.connection.transport.pause_reading()
    asked = asyncio.create_task(
        linked.takaro.request(linked.identity, Action.EXECUTE_CONSOLE_COMMAND, requests.console("all"))
    )
    command = await linked.fetched()
    more_than_the_kernel_takes = {"rawResult": "x" * 6_000_000, "success": True}
    assert await linked.commands.complete(command.operation_id, Outcome(more_than_the_kernel_takes), {})
    await until(lambda: owner.count("dayz_relay_takaro_connects_total") > 1 and owner.owned.link.identified)
    asked.cancel()


async def test_a_lost_socket_is_dialled_again_while_its_successor_was_being_opened(linked: Linked) -> None:
    owner = await linked.owner()
    linked.takaro.faults.refuse_identify(times=2)
    owner.owned.link.reconnect()
    linked.takaro.drop_connections()
    await linked.takaro.wait_for(lambda: len(linked.takaro.identifies(linked.identity)) == 2)
    await linked.append(1)
    await linked.arrived(1)


async def test_without_redis_a_lost_socket_is_opened_again_and_identifies_when_redis_is_back(
    linked: Linked, redis_server: RedisServer
) -> None:
    uplink = await linked.owner()
    turns = uplink.turns
    with redis_server.stopped():
        linked.takaro.drop_connections(linked.identity)
        await until(lambda: uplink.turns > turns)  # only Redis keeps it from identifying
        back_s = asyncio.get_running_loop().time()
    await linked.takaro.wait_for(lambda: len(linked.takaro.identifies(linked.identity)) == 2)
    assert linked.takaro.identifies(linked.identity)[-1] > back_s


async def another_primary_follows(linked: Linked, entry: str, *, refused: int, accepted: int) -> None:
    """It lacks the newest event of the primary before, and has accepted another one, whose id is lower."""
    events = keys_of(linked.slug).events
    *_, (_, fields) = await linked.store.send("XRANGE", events, "-", "+")
    before, after = f"line {refused}".encode(), f"line {accepted}".encode()
    await linked.store.send("DEL", events)
    await linked.store.send("XADD", events, entry, *[field.replace(before, after) for field in fields])


async def test_events_of_a_primary_that_was_cut_off_are_not_read(linked: Linked) -> None:
    """Nobody has accepted them, and the primary that follows may have accepted others with lower ids."""
    owner = await linked.owner()
    await linked.append(1)
    await linked.arrived(1)
    await linked.emptied()
    await owner.stop_renewing()
    owner.lease.trusted_until_s = 0.0  # no replica has confirmed a renewal for long
    events = keys_of(linked.slug).events
    newest = dict(pairs(await linked.store.send("XINFO", "STREAM", events)))[b"last-generated-id"].decode()
    await linked.append(2)
    for _ in range(5):  # a read would have come before the last of these
        await linked.store.ping()
    ms, _, number = newest.partition("-")
    await another_primary_follows(linked, f"{ms}-{int(number) + 1}", refused=2, accepted=3)
    await owner.take()
    await linked.arrived(3)
    assert "line 2" not in linked.lines()


async def test_what_a_hint_brought_from_a_primary_that_was_cut_off_is_not_sent(linked: Linked) -> None:
    """Hints come also while nothing is read. What another primary has accepted may lie before the batch."""
    owner = await linked.owner()
    await linked.append(1)
    await linked.arrived(1)
    await linked.emptied()
    hints = linked.store.messages(WAKE_EVENTS)
    await anext(hints)  # it is subscribed

    async def brought(number: int) -> bytes:
        stream = EventStream(linked.store, linked.slug)  # another modapi, whose hint brings the batch
        await stream.append(EventBatch([PostedEvent(digest(line(number)), line(number))]))
        async for _, hint in hints:
            names, _, batch = hint.partition(b"\n")
            if names.decode().split() == [linked.slug]:
                return batch
        raise AssertionError("no hint came")

    owner.owned.wake(events=True, results=False, batch=await brought(2))
    await linked.arrived(2)
    await owner.stop_renewing()
    owner.lease.trusted_until_s = 0.0  # no replica has confirmed a renewal for long
    await asyncio.sleep(0.05)  # the id of the next one is some ms higher
    batch = await brought(3)
    owner.owned.wake(events=True, results=False, batch=batch)
    ms = int(batch.split()[1].partition(b"-")[0])
    await another_primary_follows(linked, f"{ms - 1}-0", refused=3, accepted=4)
    await owner.take()
    await linked.arrived(4)
    assert "line 3" not in linked.lines()


# After a standstill


async def test_an_error_that_lies_unread_is_read_before_its_event_is_acknowledged(linked: Linked) -> None:
    """After a freeze, timers can come before what has arrived in the socket."""
    faults = linked.takaro.faults
    faults.pongs_overtake, faults.error_delay_s = True, 3600.0  # the error is sent below
    owner = await linked.owner()
    faults.internal_errors(times=1)
    await linked.append(*range(100))
    await linked.arrived(60)
    await asyncio.sleep(0.03)  # both pongs of the first window come
    await linked.takaro.send_error_frame(INTERNAL_ERROR, linked.identity)
    owner.owned.wake(events=True, results=False)
    stand_still(0.3)  # the window may be acknowledged from now on
    await linked.arrived(*range(100))


async def test_a_fault_while_a_lost_server_is_identified_again_leaves_no_socket_unidentified(
    linked: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await linked.owner()
    announce, faults = owner.lease.announce_identify, [ValueError("a fault of the relay")]

    async def broken_once() -> bool:
        if faults:
            raise faults.pop()
        return await announce()

    monkeypatch.setattr(owner.lease, "announce_identify", broken_once)
    linked.takaro.faults.internal_errors(times=1)
    await linked.append(1)
    await linked.arrived(1)
    assert len(linked.takaro.identifies(linked.identity)) == 2


# Somebody else with the same identity


async def test_another_client_is_logged_once_and_no_socket_is_replaced_again(
    linked: Linked, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    linked.times = replace(linked.times, quiet_after_s=0.3)
    owner = await linked.owner()
    await reach(linked)
    async with SimOldBridge(linked.takaro.url, linked.identity, TOKEN) as bridge:
        await until(lambda: owner.count("dayz_relay_takaro_recycled_total") == 1)
        await bridge.identify()
        answer = await linked.takaro.request(linked.identity, Action.TEST_REACHABILITY)
        assert answer.error and bridge.requests == 1
        await until(lambda: owner.count("dayz_relay_takaro_usurped_total") == 1)
        identifies = len(linked.takaro.identifies(linked.identity))
        await asyncio.sleep(0.7)  # more than twice the silence that counts
        assert len(linked.takaro.identifies(linked.identity)) == identifies
        assert owner.count("dayz_relay_takaro_usurped_total") == 1
        assert caplog.text.count("does an old bridge still run with the same identity token") == 1
        await linked.append(1)
        await linked.arrived(1)  # events are taken from both
        others = linked.takaro.asked_socket(linked.identity)
    owner.owned.link.reconnect()
    await until(lambda: linked.takaro.asked_socket(linked.identity) > others)
    await reach(linked)
    await until(lambda: caplog.text.count("Takaro asks this server again") == 1)


async def test_a_dead_socket_that_takaro_asks_is_mended_by_a_new_identify(linked: Linked) -> None:
    linked.times = replace(linked.times, quiet_after_s=2.0)  # a stall before the next request is none
    owner = await linked.owner()
    await reach(linked)
    async with SimOldBridge(linked.takaro.url, linked.identity, TOKEN):
        others = linked.takaro.asked_socket(linked.identity)
    await linked.takaro.wait_for(lambda: linked.takaro.asked_socket(linked.identity) > others)
    await reach(linked)
    await until(lambda: owner.count("dayz_relay_takaro_recycled_total"))
    assert owner.count("dayz_relay_takaro_recycled_total") == 1
    assert owner.count("dayz_relay_takaro_usurped_total") == 0
