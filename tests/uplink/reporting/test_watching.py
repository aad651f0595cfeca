"""Each watcher receives the activity of an instance once, beginning with what the owner remembers."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from operator import not_

from services.relay.instances.activity import REMEMBERED, SEEN_NUMBERS, ActivityEntry, publish, watch
from services.relay.protocol.command_states import new_operation_id
from services.relay.protocol.keys import keys_of
from services.relay.protocol.records import Command, Outcome
from services.relay.protocol.vocabulary import Action
from services.relay.store.client import Store
from services.uplink.events.receipts import EndedEvents
from services.uplink.reporting.activity_log import ActivityLog
from tests.support.waiting import until

HOSTILE = '<img src=x onerror=alert(1)>\x1b[31m "quoted" \u202e'


NOW_MS = 29_000_000 * 60_000


def text(number: int) -> str:
    return f"{HOSTILE} {number}"


def chat(activity: ActivityLog, *numbers: int) -> None:
    """Takaro has taken these chat lines."""
    events = tuple({"type": "chat-message", "data": {"msg": text(number)}} for number in numbers)
    activity.events_ended(EndedEvents(events, took_s=0.007))  # type: ignore[arg-type]


def command(activity: ActivityLog, number: int, action: Action = Action.KICK_PLAYER) -> None:
    """The mod has answered this command."""
    asked = Command(new_operation_id(action), action, {"reason": text(number)})
    activity.command_ended(asked, Outcome("done"), 0.3)


def said(entry: ActivityEntry) -> tuple[str, str, str, str, int]:
    words = entry.data.get("msg") or entry.data["reason"]
    return entry.kind, entry.what, words, entry.state, entry.took_ms


def chatted(number: int) -> tuple[str, str, str, str, int]:
    """What a watcher is told of `chat`."""
    return "event", "chat-message", text(number), "delivered", 7


def commanded(number: int) -> tuple[str, str, str, str, int]:
    """What a watcher is told of `command`."""
    return "command", "kickPlayer", text(number), "answered", 300


class Watcher:
    """A watcher that keeps all activity it receives."""

    def __init__(self, store: Store, slug: str, **times: float) -> None:
        self.told: list[tuple[str, str, str, str, int]] = []
        self.listens = asyncio.Event()
        self.task = asyncio.create_task(self._run(watch(store, slug, **times)))  # type: ignore[arg-type]

    async def _run(self, told: AsyncIterator[list[ActivityEntry]]) -> None:
        async for some in told:
            self.listens.set()
            self.told += map(said, some)

    async def until(self, count: int) -> None:
        await until(lambda: len(self.told) >= count)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def watcher_of(store: Store, slug: str, activity: ActivityLog) -> str:
    """Renews as the owner does."""
    found = await store.send("GET", keys_of(slug).watched)
    by = found.decode() if found else ""
    activity.renewed(NOW_MS, by)
    return by


async def until_watched(store: Store, slug: str, activity: ActivityLog, not_by: str = "") -> str:
    return await until(lambda: watcher_of(store, slug, activity), met=lambda by: by not in ("", not_by))


async def test_a_watcher_receives_remembered_activity_first(store: Store, slug: str) -> None:
    activity = ActivityLog(store, slug)
    chat(activity, 1, 2)
    watcher = Watcher(store, slug)
    await until_watched(store, slug, activity)
    command(activity, 3)
    await watcher.until(3)
    await watcher.stop()
    assert watcher.told == [chatted(1), chatted(2), commanded(3)]


async def test_a_later_watcher_receives_all_and_the_first_nothing_twice(store: Store, slug: str) -> None:
    activity = ActivityLog(store, slug)
    chat(activity, 1)
    first = Watcher(store, slug)
    by = await until_watched(store, slug, activity)
    await first.until(1)
    second = Watcher(store, slug)
    await until_watched(store, slug, activity, not_by=by)
    await second.until(1)
    chat(activity, 2)
    await asyncio.gather(first.until(2), second.until(2))
    await asyncio.gather(first.stop(), second.stop())
    assert first.told == second.told == [chatted(1), chatted(2)]


async def test_a_watcher_receives_the_activity_of_two_owners_in_turn(store: Store, slug: str) -> None:
    watcher = Watcher(store, slug)
    for number in (1, 2):
        activity = ActivityLog(store, slug)
        chat(activity, number)
        await until_watched(store, slug, activity)
    await watcher.until(2)
    await watcher.stop()
    assert watcher.told == [chatted(1), chatted(2)]


async def test_nothing_is_published_without_a_watcher(store: Store, slug: str) -> None:
    activity = ActivityLog(store, slug)
    heard: list[bytes] = []

    async def listen() -> None:
        async for _, body in store.messages(f"relay:watch:{slug}"):
            heard.append(body)

    listening = asyncio.create_task(listen())
    await until(lambda: heard)
    chat(activity, 1)
    assert await watcher_of(store, slug, activity) == ""
    await store.send("PUBLISH", f"relay:watch:{slug}", "a mark")
    await until(lambda: len(heard) >= 2)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    assert heard == [b"", b"a mark"]


async def test_publishing_ends_some_time_after_the_last_watcher_has_left(store: Store, slug: str) -> None:
    activity = ActivityLog(store, slug)
    watcher = Watcher(store, slug, watched_ms=1_000, again_s=0.1)
    await until_watched(store, slug, activity)
    left_ms: list[int] = []

    async def renewed() -> bool:
        left_ms.append(await store.send("PTTL", keys_of(slug).watched))
        return any(later > sooner for sooner, later in pairwise(left_ms))

    await until(renewed)  # the watcher keeps its key alive
    await watcher.stop()
    await until(lambda: watcher_of(store, slug, activity), met=not_)


async def test_remembered_activity_is_bounded_and_has_no_reads(store: Store, slug: str) -> None:
    activity = ActivityLog(store, slug)
    command(activity, 0)
    chat(activity, *range(1, 2 * REMEMBERED + 1))
    command(activity, 200, Action.GET_PLAYERS)
    watcher = Watcher(store, slug)
    await until_watched(store, slug, activity)
    await watcher.until(REMEMBERED + 1)
    await watcher.stop()
    assert watcher.told == [
        commanded(0),
        *(chatted(number) for number in range(REMEMBERED + 1, 2 * REMEMBERED + 1)),
    ]


async def test_what_a_watcher_remembers_does_not_grow_with_every_owner(store: Store, slug: str) -> None:
    """What it has forgotten it takes for new: it has seen SEEN_NUMBERS others since, and no owner repeats so
    many."""
    entry = ActivityEntry("event", NOW_MS, "chat-message", {"msg": text(1)}, "delivered", 7)
    watcher = Watcher(store, slug)
    await watcher.listens.wait()
    publish(store, slug, "first", [(1, entry)])
    for owner in range(5):
        numbered = enumerate([entry] * (SEEN_NUMBERS // 5))
        publish(store, slug, f"owner{owner}", numbered)
        publish(store, slug, "last", [(1, entry)])
    publish(store, slug, "first", [(1, entry)])
    await watcher.until(SEEN_NUMBERS + 3)
    await watcher.stop()
    assert len(watcher.told) == SEEN_NUMBERS + 3


async def test_an_unreadable_entry_is_left_out(store: Store, slug: str) -> None:
    activity = ActivityLog(store, slug)
    watcher = Watcher(store, slug)
    await until_watched(store, slug, activity)
    for body in ("no JSON", "[]", '["run",[[1,"event"]]]', '["run",7]'):
        await store.send("PUBLISH", f"relay:watch:{slug}", body)
    chat(activity, 1)
    await watcher.until(1)
    await watcher.stop()
    assert watcher.told == [chatted(1)]
