"""Only the owner of an instance shows its metrics, whether it is linked or not."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.relay.instances.facts import Facts
from services.relay.protocol.errors import StoreError
from services.relay.protocol.records import DeadEvent, GameEvent
from services.relay.service.lifecycle import cancelled
from services.relay.service.settings import Instance
from services.relay.store.client import Store
from services.relay.store.event_stream import EventStream
from services.relay.store.repeats import digest
from services.relay.store.stream_entries import EventBatch, PostedEvent
from services.uplink.connection.identify_turns import identify_turn
from services.uplink.context import UplinkContext
from services.uplink.ownership import instance_owner
from services.uplink.ownership.fleet import Fleet, FleetTimes
from services.uplink.reporting.metrics import CAUSES_OF_SERVED, UplinkMetrics
from tests.support.faulty_takaro import FaultyTakaro
from tests.support.ports import free_port
from tests.support.series import shown
from tests.support.waiting import until

TOKEN = "the-registration-token"


@dataclass
class StatusUplink:
    """One uplink and its metrics."""

    fleet: Fleet
    metrics: UplinkMetrics
    registry: CollectorRegistry
    running: asyncio.Task[None]

    def shows(self, slug: str, name: str, label: str = "") -> float | None:
        return shown(self.metrics.instances).get((f"dayz_relay_{name}", slug, label))

    def value(self, name: str) -> float:
        return self.registry.get_sample_value(f"dayz_relay_{name}") or 0.0

    def states(self) -> dict[str, float]:
        """The number of instances in each state, without states that no instance has."""
        found = {
            state: self.registry.get_sample_value("dayz_relay_instances", {"state": state}) or 0.0
            for state in map(str, CAUSES_OF_SERVED)
        }
        return {state: count for state, count in found.items() if count}


@dataclass
class SharedInstance:
    """A store, and the uplinks that share one instance."""

    store: Store
    slug: str
    uplinks: list[StatusUplink] = field(default_factory=list)

    def start(self, takaro_url: str, token: str | None = TOKEN) -> StatusUplink:
        registry = CollectorRegistry()
        metrics = UplinkMetrics(registry)
        instance = Instance(
            slug=self.slug,
            name="A server",
            identity_token=SecretStr(f"identity-{self.slug}"),
            registration_token=SecretStr(token) if token else None,
        )
        context = UplinkContext(takaro_url, self.store, metrics, partial(identify_turn, self.store), 50.0)
        started = Fleet(context, FleetTimes(renew_every_s=0.1, measure_every_s=0.05))
        started.update({self.slug: instance})
        self.uplinks.append(StatusUplink(started, metrics, registry, asyncio.create_task(started.run())))
        return self.uplinks[-1]

    async def append(self, *events: GameEvent) -> None:
        stream = EventStream(self.store, self.slug)
        appended = await stream.append(EventBatch([PostedEvent(digest(event), event) for event in events]))
        stream.notes.answered(appended.token)


def line(text: str) -> GameEvent:
    return {"type": "log", "data": {"msg": text}}


def player(number: int) -> GameEvent:
    who = {"gameId": f"7656119800000000{number}", "name": f"Player {number}"}
    return {"type": "player-connected", "data": {"player": who}}


@pytest.fixture
async def shared(store: Store, slug: str) -> AsyncIterator[SharedInstance]:
    shared = SharedInstance(store, slug)
    yield shared
    for uplink in shared.uplinks:
        await cancelled(uplink.running)


async def test_without_takaro_the_metrics_show_backlog_and_mod(shared: SharedInstance) -> None:
    uplink = shared.start(f"ws://127.0.0.1:{free_port()}")
    await until(lambda: uplink.shows(shared.slug, "backlog_events") == 0)
    assert uplink.shows(shared.slug, "oldest_event_timestamp_seconds") == 0
    assert uplink.shows(shared.slug, "mod_contact_timestamp_seconds") == 0
    await shared.append(line("one"), line("two"))
    await until(lambda: uplink.shows(shared.slug, "backlog_events") == 2)
    await until(lambda: (uplink.shows(shared.slug, "mod_contact_timestamp_seconds") or 0) > 0)
    assert (uplink.shows(shared.slug, "backlog_bytes") or 0) > 0
    assert (uplink.shows(shared.slug, "oldest_event_timestamp_seconds") or 0) > 1_700_000_000
    assert uplink.shows(shared.slug, "takaro_state", "ready") is None
    assert uplink.value("leases_owned") == uplink.value("leases_wanted") == 1


async def test_dead_letters_are_shown_by_instance_also_without_an_owner(shared: SharedInstance) -> None:
    letter = DeadEvent("unknown-type", "nobody knows it", b"{}")
    stream = EventStream(shared.store, shared.slug)
    await stream.append(EventBatch([PostedEvent(digest(letter.raw), letter)]))
    uplink = shared.start(f"ws://127.0.0.1:{free_port()}", token=None)
    await until(lambda: uplink.shows(shared.slug, "dead_letters") == 1)
    assert uplink.value("leases_wanted") == 0


async def test_a_refused_identify_is_counted_by_its_reason(shared: SharedInstance) -> None:
    async with FaultyTakaro(registration_tokens={"another token"}) as takaro:
        uplink = shared.start(takaro.url)
        name, reason = "dayz_relay_takaro_identify_refused_total", {"reason": "registration_token"}
        await until(lambda: (uplink.registry.get_sample_value(name, reason) or 0) >= 1)


async def test_with_takaro_the_metrics_show_deliveries_and_their_latency(shared: SharedInstance) -> None:
    async with FaultyTakaro(registration_tokens={TOKEN}, ask_location=False) as takaro:
        uplink = shared.start(takaro.url)
        await until(lambda: uplink.shows(shared.slug, "instance_events_total") == 0)
        await shared.append(player(1), player(2), line("one"))
        await until(lambda: uplink.shows(shared.slug, "instance_events_total") == 3)
        assert uplink.value("event_seconds_count") >= 1
        assert 0 <= uplink.value("event_seconds_sum") < 10
        assert uplink.shows(shared.slug, "takaro_state", "ready") == 1
        await until(lambda: uplink.shows(shared.slug, "players_online") == 2)
        await until(lambda: uplink.shows(shared.slug, "backlog_events") == 0)


async def test_servers_keep_their_states_in_the_metrics_while_redis_is_away(
    shared: SharedInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    uplink = shared.start(f"ws://127.0.0.1:{free_port()}")
    await until(lambda: uplink.states() == {"never_called": 1})
    failed = 0

    async def failing(store: Store, slug: str) -> Facts:
        nonlocal failed
        failed += 1
        raise StoreError("Redis is away")

    monkeypatch.setattr(instance_owner, "facts_of", failing)
    await until(lambda: failed >= 3)  # by then the first measure that failed has been counted
    assert uplink.states() == {"never_called": 1}


async def test_an_instance_has_metrics_at_one_uplink_at_a_time(shared: SharedInstance) -> None:
    def owners() -> list[StatusUplink]:
        return [one for one in shared.uplinks if one.shows(shared.slug, "backlog_events") is not None]

    async with FaultyTakaro(registration_tokens={TOKEN}, ask_location=False) as takaro:
        for _ in range(2):
            shared.start(takaro.url)
        await until(lambda: len(owners()) == 1)
        (owner,) = owners()
        (other,) = [one for one in shared.uplinks if one is not owner]
        await cancelled(owner.running)
        await until(lambda: owners() == [other])


async def test_a_removed_instance_has_no_metrics_any_more(shared: SharedInstance) -> None:
    uplink = shared.start(f"ws://127.0.0.1:{free_port()}")
    await until(lambda: uplink.shows(shared.slug, "backlog_events") == 0)
    uplink.fleet.update({})
    await until(lambda: shared.slug not in "".join(uplink.metrics.instances.pieces()))
    await until(lambda: uplink.value("leases_wanted") == 0)


async def test_one_uplink_shows_the_backlog_of_a_server_without_a_token(shared: SharedInstance) -> None:
    takaro_url = f"ws://127.0.0.1:{free_port()}"
    uplinks = [shared.start(takaro_url, token=None) for _ in range(2)]
    await shared.append(line("one"), line("two"))

    def status() -> list[float | None]:
        return sorted(filter(None, (one.shows(shared.slug, "backlog_events") for one in uplinks)))

    await until(lambda: status() == [2.0])
    await until(lambda: sorted(len(one.states()) for one in uplinks) == [0, 1])
    assert {"no_token": 1.0} in [one.states() for one in uplinks]
    assert all(one.value("leases_wanted") == 0 for one in uplinks)
    for one in uplinks:
        one.fleet.update({})
    await until(lambda: not any(shared.slug in "".join(one.metrics.instances.pieces()) for one in uplinks))
    await until(lambda: not any(one.states() for one in uplinks))


async def test_a_server_keeps_its_metrics_when_it_gets_a_token(shared: SharedInstance) -> None:
    async with FaultyTakaro(registration_tokens={TOKEN}, ask_location=False) as takaro:
        uplink = shared.start(takaro.url, token=None)
        await until(lambda: uplink.shows(shared.slug, "backlog_events") == 0)
        (instance,) = uplink.fleet.instances.values()
        with_token = instance.model_copy(update={"registration_token": SecretStr(TOKEN)})
        uplink.fleet.update({shared.slug: with_token})
        await until(lambda: uplink.shows(shared.slug, "takaro_state", "ready") == 1)
        await until(lambda: uplink.states() == {"never_called": 1})
        await shared.append(line("one"))
        await until(lambda: uplink.states() == {"up": 1})
        await until(lambda: uplink.shows(shared.slug, "backlog_events") is not None)
