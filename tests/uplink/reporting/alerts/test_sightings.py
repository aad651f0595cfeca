"""Alerts see the true state of an instance: a refused link, waiting events, a silent mod."""

import asyncio
import time
from functools import partial

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.relay.protocol.keys import keys_of
from services.relay.service.lifecycle import cancelled
from services.relay.service.settings import Instance
from services.relay.store.client import Store
from services.relay.store.event_stream import EventStream
from services.relay.store.repeats import digest
from services.relay.store.stream_entries import EventBatch, PostedEvent
from services.uplink.connection.identify_turns import identify_turn
from services.uplink.context import UplinkContext
from services.uplink.ownership.fleet import Fleet, FleetTimes
from services.uplink.reporting.metrics import UplinkMetrics
from tests.support.faulty_takaro import FaultyTakaro
from tests.support.linked import line
from tests.support.waiting import until


async def test_a_refused_link_and_a_backlog_are_seen(store: Store, slug: str) -> None:
    instance = Instance(
        slug=slug,
        name="A server",
        identity_token=SecretStr(f"identity-{slug}"),
        registration_token=SecretStr("a wrong one"),
    )
    async with FaultyTakaro(registration_tokens={"the right one"}) as takaro:
        around = UplinkContext(
            takaro.url, store, UplinkMetrics(CollectorRegistry()), partial(identify_turn, store), 50.0
        )
        uplink = Fleet(around, FleetTimes(measure_every_s=0.1))
        uplink.update({slug: instance})
        assert uplink.sightings() == {}  # its owner is not known yet
        await EventStream(store, slug).append(
            EventBatch([PostedEvent(digest(line(n)), line(n)) for n in range(3)])
        )
        await store.send("SET", keys_of(slug).contact, int((time.time() - 400) * 1000))
        running = asyncio.create_task(uplink.run())
        seen = await until(
            lambda: uplink.sightings().get(slug),
            met=lambda seen: seen and seen.oldest_s > 1 and seen.link == "refused",
        )
        assert seen and (seen.name, seen.events) == ("A server", 3)
        assert 0 < seen.fullness < 0.001
        assert seen.silent_s is not None and seen.silent_s < 60 and 400 <= seen.unheard_s < 460
        await cancelled(running)
