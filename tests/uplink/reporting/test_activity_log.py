"""The activity that an owner records, for watchers and for the picture of the last hour."""

import asyncio
import math
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.instances.activity import ActivityEntry, watch
from services.relay.instances.facts import FAILED_KEPT_MS, facts_of
from services.relay.instances.history import read_minutes
from services.relay.protocol.command_states import new_operation_id
from services.relay.protocol.keys import keys_of
from services.relay.protocol.records import Command, GameEvent, Outcome
from services.relay.protocol.vocabulary import Action
from services.relay.store.client import Store
from services.uplink.events.receipts import EndedEvents, RefusedEvent
from services.uplink.reporting.activity_log import ActivityLog, percentile
from services.uplink.takaro import failures
from services.uplink.takaro.failures import CommandFailure

NOW_MS = 29_000_000 * 60_000
NOW = NOW_MS // 60_000
KICK = Command(new_operation_id(Action.KICK_PLAYER), Action.KICK_PLAYER, {"gameId": "1", "reason": "<b>"})
READ = Command(new_operation_id(Action.GET_PLAYERS), Action.GET_PLAYERS, {})


def log(text: str) -> GameEvent:
    return {"type": "log", "data": {"msg": text}}


def taken(*events: GameEvent, **more: object) -> EndedEvents:
    return EndedEvents(events, took_s=0.25, **more)  # type: ignore[arg-type]


async def told(store: Store, slug: str, activity: ActivityLog, count: int) -> list[ActivityEntry]:
    """The activity that a new watcher receives now."""
    heard: list[ActivityEntry] = []
    async with asyncio.timeout(30):
        async for some in watch(store, slug):
            heard += some
            if len(heard) >= count:
                break
            activity.renewed(NOW_MS, "a watcher")
    return heard


async def test_watchers_receive_events_with_their_end(store: Store, slug: str) -> None:
    activity = ActivityLog(store, slug)
    activity.renewed(NOW_MS, "")
    refused = (RefusedEvent("Invalid event", (log("a"), log("b"))),)
    activity.events_ended(taken(log("delivered"), expired=(log("too old"),), refused=refused))
    found = [(one.what, one.data.get("msg"), one.state) for one in await told(store, slug, activity, 3)]
    assert found == [
        ("log", "delivered", "delivered"),
        ("log", "too old", "expired"),
        ("refused", None, "refused"),
    ]


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (Outcome("done"), "answered"),
        (Outcome(error="no such player"), "refused"),
        (failures.not_delivered(3.0), "not_delivered"),
        (failures.NO_RESULT, "no_result"),
    ],
)
async def test_watchers_receive_commands_with_their_end(
    store: Store, slug: str, result: Outcome | CommandFailure, state: str
) -> None:
    activity = ActivityLog(store, slug)
    activity.command_ended(READ, Outcome([]), 0.1)  # not remembered
    activity.command_ended(KICK, result, 0.25)
    [one] = await told(store, slug, activity, 1)
    assert (one.kind, one.what, one.data, one.state, one.took_ms) == (
        "command",
        "kickPlayer",
        KICK.args,
        state,
        250,
    )


def took(took_s: float, count: int) -> EndedEvents:
    """Events that Takaro took, so long after their acceptance."""
    return EndedEvents((log("x"),) * count, took_s=took_s)


async def test_the_minute_has_events_latency_and_writes(store: Store, slug: str) -> None:
    activity = ActivityLog(store, slug)
    activity.renewed(NOW_MS - 60_000, "")
    activity.events_ended(took(0.1, 99))
    activity.events_ended(took(5.0, 1))
    activity.command_ended(READ, Outcome([]), 0.1)
    activity.command_ended(KICK, Outcome("done"), 0.1)
    activity.renewed(NOW_MS - 59_000, "")
    assert (await read_minutes(store, slug, NOW_MS))[-2].events == 0
    activity.renewed(NOW_MS, "")
    last = (await read_minutes(store, slug, NOW_MS))[-2]
    assert last[:3] == (NOW - 1, 100, 1)
    assert last.p50_ms == pytest.approx(100, rel=0.1)
    assert last.p99_ms == pytest.approx(100, rel=0.1)


async def test_while_somebody_watches_the_current_minute_is_written_too(store: Store, slug: str) -> None:
    activity = ActivityLog(store, slug)
    activity.renewed(NOW_MS, "")
    for count in (1, 2):
        activity.command_ended(KICK, Outcome("done"), 0.1)
        activity.renewed(NOW_MS, "a watcher")
        assert (await read_minutes(store, slug, NOW_MS))[-1][:3] == (NOW, 0, count)


async def test_a_minute_without_events_or_commands_has_no_row(store: Store, slug: str) -> None:
    activity = ActivityLog(store, slug)
    for minute in range(5):
        activity.renewed(NOW_MS + minute * 60_000, "")
    assert await store.send("EXISTS", keys_of(slug).minutes) == 0


async def test_two_rows_of_one_minute_are_added_up(store: Store, slug: str) -> None:
    for took_s in (0.05, 0.4):
        owner = ActivityLog(store, slug)
        owner.renewed(NOW_MS - 60_000, "")
        owner.events_ended(took(took_s, 3))
        owner.close()
    last = (await read_minutes(store, slug, NOW_MS))[-2]
    assert last.events == 6
    assert last.p99_ms == pytest.approx(400, rel=0.1)


@given(st.lists(st.floats(1, 600_000), min_size=1), st.sampled_from([0.5, 0.99]))
def test_percentiles_are_exact_to_a_tenth(took: list[float], share: float) -> None:
    counted = Counter(round(8 * math.log2(one)) for one in took)
    exact = sorted(took)[max(0, math.ceil(share * len(took)) - 1)]
    assert percentile(counted, share) == pytest.approx(exact, rel=0.1, abs=1)


async def test_the_counts_of_an_owner_are_stored_when_it_ends(store: Store, slug: str) -> None:
    activity = ActivityLog(store, slug)
    activity.renewed(NOW_MS, "")
    activity.events_ended(taken(log("1")))
    activity.close()
    assert (await read_minutes(store, slug, NOW_MS + 60_000))[-2].events == 1


async def test_without_a_watcher_nothing_is_published(store: Store, slug: str) -> None:
    activity = ActivityLog(store, slug)
    activity.renewed(NOW_MS, "")
    before = await calls(store, "publish")
    for _ in range(100):
        activity.events_ended(taken(log("x")))
        activity.command_ended(KICK, Outcome(), 0.1)
    assert await calls(store, "publish") == before


async def calls(store: Store, command: str) -> str:
    found: bytes = await store.send("INFO", "commandstats")
    return next((line for line in found.decode().split() if line.startswith(f"cmdstat_{command}:")), "")


async def test_failed_writes_of_the_last_day_are_counted(store: Store, slug: str) -> None:
    activity = ActivityLog(store, slug)
    for action, result in (
        (Action.KICK_PLAYER, Outcome(error="no such player")),
        (Action.KICK_PLAYER, failures.NO_RESULT),
        (Action.KICK_PLAYER, Outcome("done")),
        (Action.GET_PLAYERS, failures.NO_RESULT),
    ):
        activity.command_ended(Command(new_operation_id(action), action, {}), result, 1.0)
    key = keys_of(slug).failed
    await store.send("ZADD", key, int(time.time() * 1000) - FAILED_KEPT_MS - 60_000, "of the day before")
    assert (await facts_of(store, slug)).failed_commands == 2
