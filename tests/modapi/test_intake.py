"""What a POST leaves in Redis beside its events: the players that were learned before it."""

import time

import pytest
from prometheus_client import CollectorRegistry

from services.modapi.dialect.roster import Roster
from services.modapi.intake import Intake
from services.modapi.metrics import Metrics
from services.relay.event_stream import NOT_ASKED, EventStream
from services.relay.instances.state import InstanceState
from services.relay.store import Store
from tests.support.exact_clock import ExactClock

ADA = {"gameId": "76561198000000001", "name": "Ada"}
LINE, OTHER_LINE = (b'{"events":[{"type":"log","msg":"%s"}]}' % text for text in (b"one", b"two"))


def modapi(store: Store, slug: str, roster: Roster) -> Intake:
    stream = EventStream(store, slug)
    stream._clock = ExactClock()
    return Intake(stream, InstanceState(store, slug), roster, Metrics(CollectorRegistry()))


@pytest.mark.parametrize("overtaken", [False, True])
async def test_players_are_not_forgotten_with_a_post_that_was_stored_before(
    store: Store, slug: str, overtaken: bool
) -> None:
    roster, state = Roster(), InstanceState(store, slug)
    first, second = modapi(store, slug, Roster()), modapi(store, slug, roster)
    early_s = time.monotonic()
    await first.take(LINE, time.monotonic())  # its answer is lost
    roster.learn(ADA)
    again = await second.take(LINE, early_s if overtaken else time.monotonic())
    assert (again.token == NOT_ASKED) is overtaken and await state.players() == {}
    await second.take(OTHER_LINE, time.monotonic())
    assert list(await state.players()) == [ADA["gameId"]]
