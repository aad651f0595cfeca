"""What a POST leaves in Redis beside its events: the players that were learned before it."""

import time

import pytest
from prometheus_client import CollectorRegistry

from services.modapi.dialect.roster import Roster
from services.modapi.events import ALL_LOG_LINES, EventIntake
from services.modapi.http.rate_limits import BURST_S, LogLines
from services.modapi.metrics import ModapiMetrics
from services.relay.instances.facts import InstanceData
from services.relay.store.client import Store
from services.relay.store.event_stream import EventStream
from services.relay.store.stream_entries import NOT_ASKED
from tests.support.exact_clock import exact
from tests.support.hang_ups import cancelled_in

ADA = {"gameId": "76561198000000001", "name": "Ada"}
LINE, OTHER_LINE = (b'{"events":[{"type":"log","msg":"%s"}]}' % text for text in (b"one", b"two"))


def modapi(store: Store, slug: str, roster: Roster, log_lines: LogLines = ALL_LOG_LINES) -> EventIntake:
    stream = EventStream(exact(store, slug), slug)
    return EventIntake(
        stream, InstanceData(store, slug), roster, ModapiMetrics(CollectorRegistry()), log_lines
    )


@pytest.mark.parametrize("overtaken", [False, True])
async def test_players_are_not_forgotten_with_a_post_that_was_stored_before(
    store: Store, slug: str, overtaken: bool
) -> None:
    roster, state = Roster(), InstanceData(store, slug)
    first, second = modapi(store, slug, Roster()), modapi(store, slug, roster)
    early_s = time.monotonic() - 1.0
    await first.take(LINE, time.monotonic())  # its answer is lost
    roster.complete(ADA)
    again = await second.take(LINE, early_s if overtaken else time.monotonic())
    assert (again.token == NOT_ASKED) is overtaken and await state.players() == {}
    await second.take(OTHER_LINE, time.monotonic())
    assert list(await state.players()) == [ADA["gameId"]]


async def test_players_are_not_forgotten_with_a_post_that_is_cancelled(store: Store, slug: str) -> None:
    roster, state = Roster(), InstanceData(store, slug)
    roster.complete(ADA)
    intake = modapi(store, slug, roster)
    await cancelled_in(EventStream, "append", intake.take(LINE, time.monotonic()))
    await intake.take(OTHER_LINE, time.monotonic())
    assert list(await state.players()) == [ADA["gameId"]]


async def test_log_lines_of_a_post_that_is_cancelled_do_not_count(store: Store, slug: str) -> None:
    one_only = LogLines(True, 1 / BURST_S, time.monotonic())
    intake = modapi(store, slug, Roster(), one_only)
    await cancelled_in(EventStream, "append", intake.take(LINE, time.monotonic()))
    await intake.take(LINE, time.monotonic())
    assert await EventStream(store, slug).read("", 10)
