"""Several uplinks share the instances while one joins, leaves or is killed, with a real store and real
sockets."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.relay.instances.facts import facts_of
from services.relay.protocol.keys import UPLINKS, keys_of
from services.relay.protocol.records import GameEvent
from services.relay.protocol.vocabulary import Action
from services.relay.service.lifecycle import cancelled
from services.relay.service.settings import Instance
from services.relay.store.client import Store
from services.relay.store.event_stream import EventStream
from services.relay.store.leases import LeaseTimes
from services.relay.store.repeats import digest
from services.relay.store.stream_entries import EventBatch, PostedEvent
from services.uplink.connection.identify_turns import identify_turn
from services.uplink.context import UplinkContext
from services.uplink.ownership.claims import Claim
from services.uplink.ownership.fleet import Fleet, FleetTimes
from services.uplink.ownership.instance_owner import InstanceOwner
from services.uplink.ownership.members import preferred
from services.uplink.reporting.metrics import UplinkMetrics
from tests.support.faulty_takaro import FaultyTakaro
from tests.support.redis_server import RedisServer
from tests.support.waiting import until

TOKEN = "the-registration-token"
SERVERS = 12
TIMES = FleetTimes(0.1, moves_per_s=50, settled_after_s=0.3, beat_every_s=0.1)
SOON_DEAD = replace(
    TIMES, alive_for_s=0.6, lease=LeaseTimes(ttl_ms=2_000, trusted_for_s=1.5), wanted_for_s=0.6
)
"""For tests in which an uplink is killed. All others keep their leases even if the machine stands still."""


@dataclass
class UplinkWithStore:
    """One uplink with its own store, as a process has."""

    fleet: Fleet
    store: Store
    registry: CollectorRegistry
    running: asyncio.Task[None]

    @property
    def owned(self) -> float:
        return self.registry.get_sample_value("dayz_relay_leases_owned") or 0

    def changes(self, cause: str) -> float:
        return self.registry.get_sample_value("dayz_relay_lease_changes_total", {"cause": cause}) or 0

    async def stop(self) -> None:
        await cancelled(self.running)
        await self.store.close()

    async def vanish(self) -> None:
        """Ends like a killed process: it writes nothing more to Redis, and its sockets close."""
        await self.store.close()
        await cancelled(self.running)


@dataclass
class MovingInstances:
    """A Takaro, a store and some uplinks, and the number of lines appended so far."""

    takaro: FaultyTakaro
    server: RedisServer
    store: Store
    prefix: str
    times: FleetTimes = TIMES
    uplinks: list[UplinkWithStore] = field(default_factory=list)
    said: dict[str, int] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)

    @property
    def slugs(self) -> list[str]:
        return [f"{self.prefix}-{number}" for number in range(SERVERS)]

    def start(self) -> UplinkWithStore:
        store, registry = Store(self.server.url), CollectorRegistry()
        started = Fleet(
            UplinkContext(
                self.takaro.url,
                store,
                UplinkMetrics(registry),
                partial(identify_turn, store),
                50.0,
                uplink=self._name(),
            ),
            self.times,
        )
        started.update({slug: instance(slug) for slug in self.slugs})
        self.uplinks.append(UplinkWithStore(started, store, registry, asyncio.create_task(started.run())))
        return self.uplinks[-1]

    def _name(self) -> str:
        """A name with which the next uplink gets a share: with few servers, some names get none."""
        others = {uplink.fleet.heartbeat.members.own for uplink in self.uplinks}
        names = (f"uplink-{number}" for number in self.numbers)
        return next(n for n in names if any(preferred(slug, {*others, n}) == n for slug in self.slugs))

    async def speak(self) -> None:
        """Appends one more line for every server."""
        for slug in self.slugs:
            number = self.said[slug] = self.said.get(slug, 0) + 1
            event: GameEvent = {"type": "log", "data": {"msg": f"line {number}"}}
            stream = EventStream(self.store, slug)
            stream.notes.answered(
                (await stream.append(EventBatch([PostedEvent(digest(event), event)]))).token
            )

    async def heard(self) -> None:
        """Waits until all appended lines have arrived, once and in order."""
        await self.takaro.wait_for(
            lambda: all(len(self.lines(slug)) >= self.said[slug] for slug in self.slugs)
        )
        for slug in self.slugs:
            assert self.lines(slug) == [f"line {n + 1}" for n in range(self.said[slug])]

    async def taken_off(self) -> None:
        """Waits until all streams are empty: a crash now repeats nothing."""
        for slug in self.slugs:
            await until(lambda slug=slug: facts_of(self.store, slug), met=lambda facts: not facts.events)

    def lines(self, slug: str) -> list[str]:
        return [e.data["msg"] for e in self.takaro.events(f"identity-{slug}") if e.type == "log"]

    async def all_answered(self) -> bool:
        """Whether each server answers a request of Takaro."""
        asked = (self.takaro.request(f"identity-{slug}", Action.TEST_REACHABILITY) for slug in self.slugs)
        return not any(answer.error for answer in await asyncio.gather(*asked))

    def identifies(self) -> int:
        return sum(len(self.takaro.identifies(f"identity-{slug}")) for slug in self.slugs)

    async def shared(self) -> None:
        """Waits until every uplink has its share."""
        names = [uplink.fleet.heartbeat.members.own for uplink in self.uplinks]
        shares = Counter(preferred(slug, names) for slug in self.slugs)
        await until(lambda: all(u.owned == shares[u.fleet.heartbeat.members.own] for u in self.uplinks))


def instance(slug: str) -> Instance:
    return Instance(
        slug=slug,
        name=f"Server {slug}",
        identity_token=SecretStr(f"identity-{slug}"),
        registration_token=SecretStr(TOKEN),
    )


@pytest.fixture
async def moving(redis_server: RedisServer, store: Store, slug: str) -> AsyncIterator[MovingInstances]:
    await store.send("DEL", UPLINKS)
    async with FaultyTakaro(registration_tokens={TOKEN}, ask_location=False) as takaro:
        takaro.request_timeout_s = 1.0
        made = MovingInstances(takaro, redis_server, store, slug)
        yield made
        for uplink in made.uplinks:
            await uplink.stop()


async def test_a_joining_uplink_gets_its_share_without_lost_or_repeated_events(
    moving: MovingInstances,
) -> None:
    first = moving.start()
    await moving.speak()
    await moving.heard()
    second = moving.start()
    for _ in range(20):
        await moving.speak()
        await asyncio.sleep(0.05)
    await moving.shared()
    await moving.heard()
    assert first.changes("handed_over") == second.owned
    assert moving.identifies() == SERVERS + second.owned  # each moved once, and nothing else was touched


async def test_a_moving_instance_has_its_new_socket_before_the_old_one_closes(
    moving: MovingInstances,
) -> None:
    moving.start()
    await moving.speak()
    await moving.heard()
    connected = moving.takaro.is_connected
    gone: list[str] = []

    async def watch() -> None:
        while True:
            gone.extend(slug for slug in moving.slugs if not connected(f"identity-{slug}"))
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    moving.start()
    await moving.shared()
    await cancelled(watching)
    assert gone == []


async def test_a_stopped_uplink_leaves_its_share_to_the_others_at_once(moving: MovingInstances) -> None:
    moving.start()
    stopping = moving.start()
    await moving.speak()
    await moving.shared()
    await stopping.stop()
    moving.uplinks.remove(stopping)
    await moving.speak()
    await moving.heard()
    assert stopping.changes("lost") == 0


async def test_a_killed_uplinks_share_is_spread_over_the_others(moving: MovingInstances) -> None:
    moving.times = SOON_DEAD
    uplinks = [moving.start() for _ in range(3)]
    await moving.speak()
    await moving.shared()
    await moving.taken_off()
    killed = max(uplinks, key=lambda uplink: uplink.owned)
    await killed.vanish()
    moving.uplinks.remove(killed)
    await moving.speak()
    await moving.heard()
    await moving.shared()


async def test_takaro_finds_a_socket_that_is_served_after_moves_that_others_cut_short(
    moving: MovingInstances,
) -> None:
    moving.times = SOON_DEAD
    moving.start()
    await moving.speak()
    await moving.heard()
    for _ in range(3):  # each takes instances that another one is about to take
        seen = moving.identifies()
        moving.start()
        await until(lambda seen=seen: moving.identifies() > seen)
    killed = moving.uplinks.pop(2)
    await killed.vanish()
    await moving.shared()
    await until(moving.all_answered)


async def test_takaro_finds_a_served_socket_after_an_identify_of_a_dead_uplink_took_effect_late(
    moving: MovingInstances,
) -> None:
    moving.times = SOON_DEAD
    moving.start()
    await moving.speak()
    await moving.heard()
    late = moving.takaro.faults.identify_held = asyncio.Event()
    joining = moving.start()
    await until(lambda: moving.takaro.identifying)
    moving.takaro.faults.identify_held = None
    seen = moving.identifies()
    await joining.vanish()
    moving.uplinks.remove(joining)
    await until(lambda: moving.identifies() > seen)  # the owner identifies again, and before the dead one
    late.set()
    await until(lambda: not moving.takaro.identifying)
    await until(moving.all_answered)


async def test_a_lease_that_a_set_clock_made_immortal_is_taken_over(moving: MovingInstances) -> None:
    moving.times = replace(moving.times, still_for_s=1.0)
    for slug in moving.slugs:
        await moving.store.send("HSET", keys_of(slug).lease, "token", "of a dead one", "beat", 7)
        await moving.store.send("PEXPIRE", keys_of(slug).lease, 3_600_000)
    moving.start()
    await moving.speak()
    await moving.heard()


async def test_an_instance_that_is_taken_away_is_let_go_and_one_that_is_added_is_linked(
    moving: MovingInstances,
) -> None:
    uplink = moving.start()
    await moving.speak()
    await moving.heard()
    first, *others = moving.slugs
    uplink.fleet.update({slug: instance(slug) for slug in others})
    await until(lambda: not moving.takaro.is_connected(f"identity-{first}"))
    assert not await moving.store.send("EXISTS", keys_of(first).lease)
    uplink.fleet.update({slug: instance(slug) for slug in moving.slugs})
    await until(lambda: moving.takaro.is_connected(f"identity-{first}"))
    assert moving.identifies() == SERVERS + 1


def owner_of(moving: MovingInstances, slug: str) -> InstanceOwner:
    context = UplinkContext(
        moving.takaro.url,
        moving.store,
        UplinkMetrics(CollectorRegistry()),
        partial(identify_turn, moving.store),
        50.0,
    )
    return InstanceOwner(instance(slug), context, Claim(), LeaseTimes())


@pytest.mark.parametrize("is_preferred", [True, False])
async def test_a_lease_that_is_not_renewed_is_taken_at_its_end(
    moving: MovingInstances, is_preferred: bool
) -> None:
    """An instance of another uplink is left to that one for a while, which begins at this end."""
    slug = moving.slugs[0]

    async def renewed_in_time() -> InstanceOwner | None:
        """None: this machine was so slow that the lease may have ended before the renewal."""
        owner, begun_s = owner_of(moving, slug), time.monotonic()
        await moving.store.send("HSET", keys_of(slug).lease, "token", "killed", "beat", 1)
        await moving.store.send("PEXPIRE", keys_of(slug).lease, 900)
        await owner.tend(preferred=is_preferred, may_move=lambda: False)
        if time.monotonic() - begun_s < 0.9:
            return owner
        await owner.let_go()
        await owner.leave(time.monotonic())
        return None

    owner = await until(renewed_in_time)
    assert owner
    read_s = owner.lease.clock.read_s
    await until(lambda: owner.lease.clock.read_s > read_s)
    assert owner.lease.held is is_preferred
    await owner.let_go()
    await owner.leave(time.monotonic())


async def test_a_link_may_be_left_again_at_any_moment(moving: MovingInstances) -> None:
    """As when its uplink stops while the link is left because the instance has moved."""
    owner = owner_of(moving, moving.slugs[0])
    await owner.tend(preferred=True, may_move=lambda: False)
    await owner.let_go()
    leaving = [asyncio.create_task(owner.leave(time.monotonic()))]
    while not leaving[0].done():
        await asyncio.sleep(0)
        leaving.append(asyncio.create_task(owner.leave(time.monotonic())))
    await asyncio.gather(*leaving)
