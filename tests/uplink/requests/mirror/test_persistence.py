"""The mirror outlives its owner, and only the owner saves it."""

import asyncio

import orjson
import pytest
from prometheus_client import CollectorRegistry

from services.relay.protocol.keys import keys_of
from services.relay.protocol.vocabulary import Action
from services.relay.service.lifecycle import cancelled
from services.relay.store.client import Store
from services.relay.store.leases import Lease
from services.uplink.reporting.metrics import UplinkMetrics
from services.uplink.requests.mirror.mirror import Mirror
from services.uplink.requests.mirror.persistence import MirrorPersistence
from services.uplink.requests.mirror.read_rules import Subject
from tests.support.waiting import until

PLACE = {"x": 1.0, "y": 2.0, "z": 3.0}


class MirrorOwner:
    """The mirror of one uplink, and its lease."""

    def __init__(self, store: Store, slug: str) -> None:
        self.registry = CollectorRegistry()
        self.mirror = Mirror()
        self.lease = Lease(store, slug, "an uplink")
        self.persistence = MirrorPersistence(store, self.lease, self.mirror, UplinkMetrics(self.registry))

    def sees(self, game_id: str, at_s: float, x: float = 1.0) -> None:
        self.mirror.take_answer(Subject(Action.GET_PLAYER_LOCATION, game_id), PLACE | {"x": x}, at_s)

    @property
    def fenced(self) -> float:
        return self.registry.get_sample_value("dayz_relay_fenced_total", {"operation": "mirror"}) or 0.0


async def test_changes_are_kept_until_the_lease_is_ours(store: Store, slug: str) -> None:
    owner = MirrorOwner(store, slug)
    owner.sees("1", 100.0)
    await owner.persistence.save()
    assert await store.send("HLEN", keys_of(slug).mirror) == 0
    await owner.lease.renew()
    await owner.persistence.save()
    assert await store.send("HLEN", keys_of(slug).mirror) == 1


async def test_a_former_owners_save_is_refused_and_counted_and_its_changes_are_kept(
    store: Store, slug: str
) -> None:
    owner = MirrorOwner(store, slug)
    await owner.lease.renew()
    await store.send("HSET", keys_of(slug).lease, "token", "somebody else")
    owner.sees("1", 100.0)
    await owner.persistence.save()
    assert await store.send("HLEN", keys_of(slug).mirror) == 0 and owner.fenced == 1
    assert owner.mirror.take_changes().mirror


async def test_an_uplink_that_stood_by_loads_the_last_save_and_keeps_what_is_newer(
    store: Store, slug: str
) -> None:
    first, second = MirrorOwner(store, slug), MirrorOwner(store, slug)
    await first.lease.renew()
    running = asyncio.create_task(second.persistence.run())
    second.sees("2", 200.0, x=22.0)
    first.sees("1", 100.0, x=11.0)
    first.sees("2", 100.0, x=12.0)
    await first.persistence.save()
    await first.lease.release()
    await second.lease.renew()
    await until(lambda: second.mirror.position_of("1") is not None)
    assert orjson.loads(second.mirror.position_of("1") or b"null") == PLACE | {"x": 11.0}
    assert orjson.loads(second.mirror.position_of("2") or b"null") == PLACE | {"x": 22.0}
    await cancelled(running)


async def test_changes_that_could_not_be_saved_in_time_are_kept(
    store: Store, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = MirrorOwner(store, slug)
    await owner.lease.renew()
    owner.sees("1", 100.0)
    with monkeypatch.context() as standstill, pytest.raises(TimeoutError):
        standstill.setattr(store, "run", lambda *_: asyncio.get_running_loop().create_future())
        async with asyncio.timeout(0.01):
            await owner.persistence.save()
    await owner.persistence.save()
    assert await store.send("HLEN", keys_of(slug).mirror) == 1
