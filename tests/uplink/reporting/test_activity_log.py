"""The activity that an owner records, for watchers and for the picture of the last hour."""

import asyncio
import time

import pytest

from services.relay.instances.activity import ActivityEntry, watch
from services.relay.instances.facts import facts_of
from services.relay.instances.failed_commands import KEPT_MS
from services.relay.instances.minutes import read_minutes
from services.relay.protocol.command_states import new_operation_id
from services.relay.protocol.keys import keys_of
from services.relay.protocol.records import Command, GameEvent, Outcome
from services.relay.protocol.vocabulary import Action
from services.relay.store.client import Store
from services.uplink.events.receipts import RefusedEvent, TakenWindow, Window
from services.uplink.reporting.activity_log import ActivityLog
from services.uplink.takaro import failures
from services.uplink.takaro.failures import CommandFailure

NOW_MS = 29_000_000 * 60_000
KICK = Command(new_operation_id(Action.KICK_PLAYER), Action.KICK_PLAYER, {"gameId": "1", "reason": "<b>"})
READ = Command(new_operation_id(Action.GET_PLAYERS), Action.GET_PLAYERS, {})


def log(text: str) -> GameEvent:
    return {"type": "log", "data": {"msg": text}}


def taken(*events: GameEvent, **more: object) -> TakenWindow:
    refused = more.pop("refused", ())
    return TakenWindow(Window(events, accepted_s=5.0, **more), refused, 5.25)  # type: ignore[arg-type]


async def told(store: Store, slug: str, activity: ActivityLog, count: int) -> list[ActivityEntry]:
    """The activity that a new watcher receives now."""
    heard: list[ActivityEntry] = []
    async with asyncio.timeout(10):
        async for some in watch(store, slug):
            heard += some
            if len(heard) >= count:
                break
            activity.looked(NOW_MS, "a watcher")
    return heard


async def test_watchers_receive_events_with_their_end(store: Store, slug: str) -> None:
    activity = ActivityLog(store, slug)
    activity.looked(NOW_MS, "")
    refused = (RefusedEvent("Invalid event", (log("a"), log("b"))),)
    activity.taken(taken(log("delivered"), expired=(log("too old"),), refused=refused))
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
    activity.command(READ, Outcome([]), 0.1)  # not remembered
    activity.command(KICK, result, 0.25)
    [one] = await told(store, slug, activity, 1)
    assert (one.kind, one.what, one.data, one.state, one.took_ms) == (
        "command",
        "kickPlayer",
        KICK.args,
        state,
        250,
    )


async def test_the_minute_has_events_latency_and_writes(store: Store, slug: str) -> None:
    activity = ActivityLog(store, slug)
    activity.looked(NOW_MS, "")
    activity.taken(taken(log("1"), log("2")))
    activity.command(READ, Outcome([]), 0.1)
    activity.command(KICK, Outcome("done"), 0.1)
    activity.looked(NOW_MS + 60_000, "")
    last = (await read_minutes(store, slug, NOW_MS + 60_000))[-2]
    assert (last.events, last.commands) == (2, 1)
    assert last.p99_ms == pytest.approx(250, rel=0.2)


async def test_the_counts_of_an_owner_are_stored_when_it_ends(store: Store, slug: str) -> None:
    activity = ActivityLog(store, slug)
    activity.looked(NOW_MS, "")
    activity.taken(taken(log("1")))
    activity.close()
    assert (await read_minutes(store, slug, NOW_MS + 60_000))[-2].events == 1


async def test_without_a_watcher_nothing_is_published(store: Store, slug: str) -> None:
    activity = ActivityLog(store, slug)
    activity.looked(NOW_MS, "")
    before = await calls(store, "publish")
    for _ in range(100):
        activity.taken(taken(log("x")))
        activity.command(KICK, Outcome(), 0.1)
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
        activity.command(Command(new_operation_id(action), action, {}), result, 1.0)
    key = keys_of(slug).failed
    await store.send("ZADD", key, int(time.time() * 1000) - KEPT_MS - 60_000, "of the day before")
    assert (await facts_of(store, slug)).failed_commands == 2
