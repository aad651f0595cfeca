"""Links to a Takaro that misbehaves, with one uplink in this process, a real store and a real socket."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, pairwise
from statistics import median
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.relay.instances.facts import facts_of
from services.relay.protocol.keys import BEATS, keys_of
from services.relay.protocol.records import Command, GameEvent, Outcome
from services.relay.protocol.vocabulary import Action
from services.relay.service.lifecycle import cancelled
from services.relay.service.logs import PacedHandler
from services.relay.service.settings import Instance
from services.relay.store.client import Store, pairs
from services.relay.store.command_stream import CommandStream
from services.relay.store.event_stream import EventStream
from services.relay.store.lease_renewal import LeaseRenewal
from services.relay.store.leases import Lease
from services.relay.store.repeats import digest
from services.relay.store.stream_entries import Delivered, EventBatch, PostedEvent
from services.sim.takaro import requests
from services.uplink.connection.identify_turns import identify_turn
from services.uplink.connection.link_times import Delays, LinkTimes
from services.uplink.context import UplinkContext
from services.uplink.events.receipts import MAX_REPEATED
from services.uplink.ownership.fleet import Fleet, FleetTimes
from services.uplink.reporting.metrics import STATE, UplinkMetrics
from services.uplink.requests.command_queue import CommandQueue
from services.uplink.takaro import frames
from tests.support.faulty_takaro import FaultyTakaro
from tests.support.series import shown
from tests.support.waiting import until

TOKEN = "the-registration-token"
QUICK = Delays(base_s=0.02, cap_s=0.1)


def line(number: int) -> GameEvent:
    return {"type": "log", "data": {"msg": f"line {number}"}}


@dataclass
class FleetAtTakaro:
    """A Takaro, a store, and the fleets of uplinks that a test starts."""

    takaro: FaultyTakaro
    store: Store
    slug: str
    times: LinkTimes = LinkTimes(QUICK, identify_again=QUICK)
    running: list[asyncio.Task[None]] = field(default_factory=list)
    metrics: UplinkMetrics = field(default_factory=lambda: UplinkMetrics(CollectorRegistry()))
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    @property
    def identity(self) -> str:
        return f"identity-{self.slug}"

    def start(self, registration_token: str = TOKEN, *others: str) -> asyncio.Task[None]:
        """`others` are the slugs of more instances."""
        instances = {
            slug: Instance(
                slug=slug,
                name=f"Server {slug}",
                identity_token=SecretStr(f"identity-{slug}"),
                registration_token=SecretStr(registration_token),
            )
            for slug in (self.slug, *others)
        }
        self.registry = CollectorRegistry()
        self.metrics = UplinkMetrics(self.registry)
        uplink = Fleet(
            UplinkContext(
                self.takaro.url,
                self.store,
                self.metrics,
                partial(identify_turn, self.store),
                50.0,
                times=self.times,
            ),
            FleetTimes(renew_every_s=0.1, slow_after_s=0.1),
        )
        uplink.update(instances)
        self.running.append(asyncio.create_task(uplink.run()))
        return self.running[-1]

    async def append(self, *numbers: int) -> None:
        stream = EventStream(self.store, self.slug)
        appended = await stream.append(EventBatch([PostedEvent(digest(line(n)), line(n)) for n in numbers]))
        stream.notes.answered(appended.token)

    def lines(self) -> list[str]:
        return [event.data["msg"] for event in self.takaro.events(self.identity)]

    async def arrived(self, *numbers: int) -> None:
        await self.takaro.wait_for(lambda: {f"line {n}" for n in numbers} <= set(self.lines()))

    async def emptied(self) -> None:
        await until(lambda: self._nothing_left())

    async def _nothing_left(self) -> bool:
        return (await facts_of(self.store, self.slug)).events == 0

    def count(self, metric: str, **labels: str) -> float:
        return self.registry.get_sample_value(metric, labels) or 0.0


@pytest.fixture
async def served(store: Store, slug: str) -> AsyncIterator[FleetAtTakaro]:
    async with FaultyTakaro(registration_tokens={TOKEN}, ask_location=False) as takaro:
        served = FleetAtTakaro(takaro, store, slug)
        yield served
        for uplink in served.running:
            await cancelled(uplink)


async def test_events_that_were_delivered_are_off_the_stream(served: FleetAtTakaro) -> None:
    await served.append(1, 2, 3)
    served.start()
    await served.arrived(1, 2, 3)
    await served.emptied()
    assert served.lines() == ["line 1", "line 2", "line 3"]
    assert served.count("dayz_relay_events_delivered_total", type="log") == 3


async def test_many_events_keep_their_order_over_many_windows(served: FleetAtTakaro) -> None:
    served.start()
    for start in range(0, 500, 50):
        await served.append(*range(start, start + 50))
    await served.arrived(499)
    assert served.lines() == [f"line {n}" for n in range(500)]
    await served.emptied()


@pytest.mark.parametrize("text", ["", "Internal server error"])
async def test_a_passing_refusal_is_tried_again_soon(served: FleetAtTakaro, text: str) -> None:
    served.takaro.faults.refuse_identify(text, times=3)
    served.start()
    await served.append(1)
    await served.arrived(1)


async def test_a_permanent_refusal_is_not_hammered(
    served: FleetAtTakaro, caplog: pytest.LogCaptureFixture
) -> None:
    served.start(registration_token="not-a-token-of-takaros")
    await until(lambda: _is(served, "refused"))
    attempts = served.count("dayz_relay_takaro_connects_total")
    await asyncio.sleep(0.5)  # with the delays after a passing fault there would be more than five by now
    assert served.count("dayz_relay_takaro_connects_total") == attempts == 1
    assert "check registration_token" in caplog.text and "not-a-token-of-takaros" not in caplog.text


async def _is(served: FleetAtTakaro, state: str) -> bool:
    return shown(served.metrics.instances).get((STATE.name, served.slug, state)) == 1


async def test_a_socket_that_is_killed_right_after_it_opened_is_tried_again_at_a_pace(
    served: FleetAtTakaro,
) -> None:
    served.takaro.faults.kill_early = True
    served.start()
    await until(lambda: _connects(served, 5))
    served.takaro.faults.kill_early = False
    await served.append(1)
    await served.arrived(1)


async def _connects(served: FleetAtTakaro, at_least: int) -> bool:
    return served.count("dayz_relay_takaro_connects_total") >= at_least


async def test_an_identify_that_is_never_answered_is_given_up(served: FleetAtTakaro) -> None:
    served.times = replace(served.times, identified_within_s=0.1)
    served.takaro.faults.silent = True
    served.start()
    await until(lambda: _connects(served, 2))
    served.takaro.faults.silent = False
    await served.append(1)
    await served.arrived(1)


async def test_a_takaro_that_lost_our_server_gets_a_new_identify_and_the_events_again(
    served: FleetAtTakaro,
) -> None:
    served.start()
    await served.append(1)
    await served.arrived(1)
    await served.emptied()  # until then it would be sent again, too
    served.takaro.faults_of(served.identity).internal_errors()
    await served.append(2, 3)
    await served.append(4)
    await served.arrived(2, 3, 4)
    await served.emptied()
    assert served.lines() == ["line 1", "line 2", "line 3", "line 4"]
    assert len(served.takaro.identifies(served.identity)) == 2
    assert served.count("dayz_relay_events_resent_total", cause="disowned") == 0  # none was taken before


async def test_an_error_that_its_pong_overtook_is_heard_before_anything_is_taken_off(
    served: FleetAtTakaro,
) -> None:
    served.start()
    await served.append(0)
    await served.arrived(0)
    await served.emptied()
    served.takaro.faults.internal_errors(times=2)
    await served.append(1, 2)
    await served.arrived(1, 2)
    await served.emptied()
    assert served.lines() == ["line 0", "line 1", "line 2"]


async def test_an_internal_error_that_comes_after_two_quick_pongs_costs_no_event(
    served: FleetAtTakaro,
) -> None:
    served.takaro.faults.pongs_overtake = True
    served.takaro.faults.error_delay_s = 0.05
    served.start()
    await served.append(0)
    await served.arrived(0)
    served.takaro.faults.internal_errors(times=3)
    for number in range(1, 60):
        await served.append(number)
        await asyncio.sleep(0.002)
    await served.arrived(*range(60))
    await served.emptied()
    assert len(served.lines()) <= 60 + MAX_REPEATED


async def test_an_event_that_only_takaro_refuses_becomes_a_dead_letter_and_its_neighbours_arrive_once(
    served: FleetAtTakaro,
) -> None:
    odd: GameEvent = {"type": "chat-message", "data": {"msg": "hello", "channel": "a channel of tomorrow"}}
    events = [line(1), odd, line(2)]
    await EventStream(served.store, served.slug).append(
        EventBatch([PostedEvent(digest(e), e) for e in events])
    )
    served.start()
    await served.arrived(1, 2)
    await served.emptied()
    assert served.lines() == ["line 1", "line 2"]
    [(_, fields)] = await served.store.send("XRANGE", f"relay:{{{served.slug}}}:dead", "-", "+")
    assert fields[:2] == [b"reason", b"refused-by-takaro"] and b"channel" in fields[3]


async def test_the_log_does_not_follow_the_errors_of_takaro(served: FleetAtTakaro) -> None:
    lines: list[str] = []
    kept = logging.Handler()
    kept.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    paced = PacedHandler(kept)
    logging.getLogger("services").addHandler(paced)
    try:
        odd = [
            GameEvent(
                type="chat-message", data={"msg": "hello", "channel": f"a channel of tomorrow {number}"}
            )
            for number in range(300)
        ]
        await append_all(served, *odd)
        served.start()
        await served.emptied()
        paced.flush()
    finally:
        logging.getLogger("services").removeHandler(paced)
    assert served.count("dayz_relay_takaro_errors_total", kind="invalid") == 300
    refused = [line for line in lines if "Takaro refused something" in line]
    assert len(refused) == 2
    assert "299 more in " in refused[1] and f"[{served.slug}]" in refused[1]


async def test_a_quiet_server_says_something_before_takaro_forgets_it(served: FleetAtTakaro) -> None:
    served.times = replace(served.times, keep_alive_s=0.2)
    served.start()
    await served.takaro.wait_for(lambda: len(served.lines()) >= 3)
    await served.append(1)
    await served.arrived(1)
    await served.emptied()


async def test_a_takaro_that_stopped_reading_is_left_and_its_events_are_sent_again(
    served: FleetAtTakaro,
) -> None:
    served.times = replace(served.times, receipt_within_s=0.3)
    served.start()
    await served.append(1)
    await served.arrived(1)
    await served.emptied()
    served.takaro.faults.stop_reading()
    await served.append(2)
    await until(lambda: _connects(served, 2))
    served.takaro.faults.resume_reading()
    await served.arrived(2)


async def test_an_answer_goes_to_the_socket_that_asked_and_to_no_other(served: FleetAtTakaro) -> None:
    served.start()
    await served.takaro.wait_for(lambda: served.takaro.is_connected(served.identity))
    command_queue = asyncio.create_task(served.takaro.request(served.identity, Action.GET_PLAYERS))
    commands = CommandStream(served.store, served.slug)
    taken = []

    async def fetched() -> bool:
        taken.extend(await commands.take())
        return bool(taken)

    await until(fetched)
    served.takaro.drop_connections()
    await served.takaro.wait_for(lambda: len(served.takaro.identifies(served.identity)) == 2)
    assert await commands.complete(taken[0].operation_id, Outcome([]), {})
    await until(lambda: _too_late(served))
    command_queue.cancel()


async def _too_late(served: FleetAtTakaro) -> bool:
    return served.count("dayz_relay_requests_total", action="getPlayers", outcome="too_late") == 1


async def test_bad_requests_are_answered_with_the_missing_part(served: FleetAtTakaro) -> None:
    served.start()
    await served.takaro.wait_for(lambda: served.takaro.is_connected(served.identity))
    answer = await served.takaro.request(served.identity, Action.GIVE_ITEM, {"player": {"gameId": "1"}})
    assert answer.error is not None and "item" in answer.error
    unknown = await served.takaro.request(served.identity, "makeCoffee", {})
    assert unknown.raw["error"]


async def test_a_second_uplink_waits_and_goes_on_when_the_first_stops(served: FleetAtTakaro) -> None:
    first = served.start()
    await served.append(1)
    await served.arrived(1)
    served.start()
    await served.append(2)
    await served.arrived(2)
    assert len(served.takaro.identifies(served.identity)) == 1
    await cancelled(first)
    await served.append(3)
    await served.arrived(3)
    assert served.lines() == ["line 1", "line 2", "line 3"]
    assert len(served.takaro.identifies(served.identity)) == 2


async def test_an_uplink_that_lost_the_lease_leaves_the_events_to_the_new_owner(
    served: FleetAtTakaro,
) -> None:
    served.start()
    await served.append(1)
    await served.arrived(1)
    await served.emptied()
    key = keys_of(served.slug).lease
    await served.store.send("DEL", key)
    await served.store.send("HSET", key, "token", "somebody else", "beat", 1)
    await served.store.send("PEXPIRE", key, 500)
    await served.takaro.wait_for(lambda: len(served.takaro.identifies(served.identity)) == 2)
    await served.append(2)
    await served.arrived(2)  # the other's lease ran out, ours came back
    assert len(served.takaro.identifies(served.identity)) == 2


async def test_a_message_to_one_player_never_becomes_public(served: FleetAtTakaro) -> None:
    served.start()
    await served.takaro.wait_for(lambda: served.takaro.is_connected(served.identity))
    args = requests.send_message("psst") | {"opts": {"recipient": {"name": "no id here"}}}
    answer = await served.takaro.request(served.identity, Action.SEND_MESSAGE, args)
    assert answer.error is not None
    assert await CommandStream(served.store, served.slug).take() == []


def chat(player: int, text: str) -> GameEvent:
    data = {"channel": "global", "msg": text, "player": somebody(player)}
    return {"type": "chat-message", "data": data}


def somebody(player: int) -> dict[str, str]:
    steam_id = str(76561190000000000 + player)
    return {"gameId": steam_id, "name": f"player {player}", "steamId": steam_id}


def moved(player: int, how: str) -> GameEvent:
    return {"type": f"player-{how}", "data": {"player": somebody(player)}}


async def append_all(served: FleetAtTakaro, *events: GameEvent) -> None:
    """Appends the events in batches, as a mod does."""
    stream = EventStream(served.store, served.slug)
    for at in range(0, len(events), 50):
        appended = await stream.append(
            EventBatch([PostedEvent(digest(event), event) for event in events[at : at + 50]])
        )
        stream.notes.answered(appended.token)


def happened(served: FleetAtTakaro) -> list[str]:
    """The types of the events that arrived, with their texts."""
    return [
        " ".join([event.type, event.data.get("msg", "")]).strip()
        for event in served.takaro.events(served.identity)
    ]


async def a_minute_passes(served: FleetAtTakaro) -> None:
    """Takaro is away for a minute: the events that wait become that much older."""
    events = keys_of(served.slug).events
    entries = await served.store.send("XRANGE", events, "-", "+")
    await served.store.send("DEL", events)
    for entry, fields in entries:
        ms, _, number = entry.decode().partition("-")
        older = dict(pairs(fields)) | {b"at": int(ms) - 60_000}
        await served.store.send("XADD", events, f"{int(ms) - 60_000}-{number}", *chain(*older.items()))


async def test_a_chat_line_that_waited_through_an_outage_never_fires_and_its_neighbours_arrive(
    served: FleetAtTakaro,
) -> None:
    await append_all(served, moved(1, "connected"), chat(1, "/kit"), line(1), chat(2, "/home"))
    await append_all(served, moved(1, "disconnected"))
    await a_minute_passes(served)
    served.start()
    await served.emptied()
    assert sorted(happened(served)) == ["log line 1", "player-connected", "player-disconnected"]
    assert served.count("dayz_relay_events_expired_total", type="chat-message") == 2
    assert served.count("dayz_relay_events_delivered_total", type="chat-message") == 0


async def test_a_stream_of_old_chat_is_emptied_without_sending(served: FleetAtTakaro) -> None:
    await append_all(served, *(chat(1, f"/kit {number}") for number in range(150)))
    await a_minute_passes(served)
    served.start()
    await served.emptied()
    assert happened(served) == []
    assert served.count("dayz_relay_events_expired_total", type="chat-message") == 150


async def test_the_list_of_the_mod_counts_more_than_events_that_waited(served: FleetAtTakaro) -> None:
    said = b"%.3f %b" % (time.time() - 10, orjson.dumps([somebody(2)]))
    await served.store.send("HSET", keys_of(served.slug).mirror, "online", said)
    await append_all(served, moved(1, "connected"), moved(2, "disconnected"))
    await a_minute_passes(served)
    served.start()
    await served.emptied()
    answer = await served.takaro.request(served.identity, Action.GET_PLAYERS)
    assert [player["gameId"] for player in answer.value] == [somebody(2)["gameId"]]


async def test_bursts_of_eight_players_delay_no_other_player_and_expire_no_event(
    served: FleetAtTakaro,
) -> None:
    served.start()
    await served.append(1)
    await served.arrived(1)
    players = range(1, 9)
    lines = [chat(player, f"{player} {number}") for player in players for number in range(30)]
    await append_all(served, *lines, chat(9, "last"))
    await served.emptied()
    _, *found = [event.data["msg"] for event in served.takaro.events(served.identity)]
    assert served.count("dayz_relay_events_expired_total", type="chat-message") == 0
    assert found.index("last") < found.index("1 15")
    for player in players:
        theirs = [text for text in found if text.startswith(f"{player} ")]
        assert theirs == [f"{player} {number}" for number in range(30)]


async def test_a_crash_at_any_moment_repeats_at_most_64_events(
    served: FleetAtTakaro, monkeypatch: pytest.MonkeyPatch
) -> None:
    ack, acknowledged, unacknowledged = EventStream.ack, 0, []

    async def noted(stream: EventStream, lease: str, delivered: Delivered, count: int, *more: Any) -> None:
        nonlocal acknowledged
        unacknowledged.append(len(happened(served)) - acknowledged)
        await ack(stream, lease, delivered, count, *more)
        acknowledged += count

    monkeypatch.setattr(EventStream, "ack", noted)
    flood = [chat(1, f"flood {number}") for number in range(20)]
    await append_all(served, *flood, *(chat(number, "once") for number in range(2, 400)))
    served.start()
    await until(lambda: acknowledged >= 418)
    assert acknowledged == 418 and max(unacknowledged) <= MAX_REPEATED


async def test_500_identical_lines_arrive_as_500_events_apart(served: FleetAtTakaro) -> None:
    await append_all(served, *[line(1)] * 500)
    served.start()
    await served.takaro.wait_for(lambda: len(served.lines()) == 500)
    await served.emptied()
    at_s = [event.at for event in served.takaro.events(served.identity)]
    # This loop has both ends of the socket: if it is late, it reads two frames sooner after each other than
    # they were sent.
    assert median(later - sooner for sooner, later in pairwise(at_s)) >= 0.002
    assert at_s[-1] - at_s[0] >= 499 * 0.002


async def test_a_connect_and_a_disconnect_in_one_batch_keep_their_gap_and_delay_no_other_player(
    served: FleetAtTakaro,
) -> None:
    served.start()
    await served.append(1)
    await served.arrived(1)
    flood = [chat(1, f"flood {number}") for number in range(8)]
    await append_all(served, moved(1, "connected"), *flood, moved(1, "disconnected"), chat(2, "/help"))
    await served.emptied()
    _, *events = served.takaro.events(served.identity)
    assert [event.data.get("msg") for event in events[:2]] == [None, "/help"]
    mine_s = [event.at for event in events if event.data["player"] == somebody(1)]
    assert events[-1].type == "player-disconnected" and len(mine_s) == 10
    assert mine_s[-1] - mine_s[0] >= 8 * 0.045  # Takaro may have read the first one late


async def test_a_copy_of_redis_that_is_behind_is_noticed(
    served: FleetAtTakaro, caplog: pytest.LogCaptureFixture
) -> None:
    served.start()

    async def told() -> bool:
        await served.store.send("SET", BEATS, 1)  # as in a restored backup
        return "Redis has lost data" in caplog.text

    await until(told)
    assert served.count("dayz_relay_store_data_lost_total") >= 1


async def test_a_slow_renewal_delays_no_other_lease(
    served: FleetAtTakaro, monkeypatch: pytest.MonkeyPatch
) -> None:
    renew, slow = Lease.renew, f"{served.slug}-slow"
    renewed: Counter[str] = Counter()

    async def counted(lease: Lease, **how: Any) -> LeaseRenewal:
        renewed[lease.slug] += 1
        if lease.slug == slow:
            await asyncio.Event().wait()
        return await renew(lease, **how)

    monkeypatch.setattr(Lease, "renew", counted)
    served.start(TOKEN, slow)
    await until(lambda: renewed[served.slug] >= 5)
    assert renewed[slow] == 1


async def test_an_identify_that_fails_by_a_fault_of_ours_is_tried_again(
    served: FleetAtTakaro, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    identify, asked = frames.identify, 0

    def failing(*words: str) -> bytes:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise RuntimeError("by a fault of ours")
        return identify(*words)

    monkeypatch.setattr(frames, "identify", failing)
    served.start()
    await served.append(1)
    await served.arrived(1)
    assert "by a fault of ours" in caplog.text


async def test_a_read_that_fails_by_a_fault_of_ours_is_answered_and_can_be_asked_again(
    served: FleetAtTakaro, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def failing(command_queue: CommandQueue, command: Command, **how: Any) -> Outcome:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise RuntimeError("by a fault of ours")
        return Outcome([somebody(1)])

    monkeypatch.setattr(CommandQueue, "ask", failing)
    served.start()
    await served.append(1)
    await served.arrived(1)
    assert (await served.takaro.request(served.identity, Action.GET_PLAYERS)).error
    answer = await served.takaro.request(served.identity, Action.GET_PLAYERS)
    assert [player["gameId"] for player in answer.value] == [somebody(1)["gameId"]]
