"""What a read is answered with that the mod does not answer in time."""

import pytest
from prometheus_client import CollectorRegistry

from services.relay.instances.facts import InstanceData
from services.relay.protocol.ends import CommandEnd
from services.relay.protocol.vocabulary import Action
from services.relay.service.arrivals import Stalls
from services.relay.service.clocks import boottime_s
from services.relay.store.client import Store
from services.relay.store.command_stream import CommandStream
from services.relay.store.leases import Lease
from services.uplink.reporting.metrics import UplinkMetrics
from services.uplink.requests import reads
from services.uplink.requests.command_queue import CommandQueue
from services.uplink.requests.mirror.mirror import Mirror
from services.uplink.requests.mirror.persistence import MirrorPersistence
from services.uplink.requests.mod_contact import ModContact
from services.uplink.requests.reads import Reads
from services.uplink.requests.results import ResultReader


@pytest.mark.parametrize(
    ("silent_s", "store_away", "end"),
    [
        (0.0, False, CommandEnd.NO_RESULT),
        (0.0, True, CommandEnd.STORE_AWAY),  # the silence is as it was read before Redis was away
        (60.0, False, CommandEnd.NOT_DELIVERED),
        (60.0, True, CommandEnd.STORE_AWAY),
        (None, False, CommandEnd.NEVER_SEEN),
    ],
)
async def test_a_read_without_an_answer_says_whether_the_mod_or_the_store_is_away(
    store: Store,
    slug: str,
    monkeypatch: pytest.MonkeyPatch,
    silent_s: float | None,
    store_away: bool,
    end: CommandEnd,
) -> None:
    monkeypatch.setattr(reads, "MOD_ANSWERS_WITHIN_S", 0.05)
    lease, metrics, contact = Lease(store, slug, "up"), UplinkMetrics(CollectorRegistry()), ModContact(0.0)
    contact.silent_s, contact.store_away = silent_s, store_away
    results = ResultReader(CommandStream(store, slug), lease, metrics)
    command_queue = CommandQueue(results, contact, Stalls(boottime_s()), lambda *ended: None)
    persistence = MirrorPersistence(store, lease, Mirror(), metrics)
    nobody_asks = Reads(command_queue, persistence, InstanceData(store, slug), per_s=4.0)
    _, source = await nobody_asks.find_answer(Action.GET_PLAYERS, {})
    assert source == end
