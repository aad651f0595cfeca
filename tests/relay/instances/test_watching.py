"""Each watcher receives the activity of an instance once, beginning with what the owner remembers."""

import asyncio
from collections.abc import AsyncIterator

from services.relay.instances.activity import REMEMBERED, ActivityEntry, ActivityFeed, watch
from services.relay.protocol.keys import keys_of
from services.relay.store.client import Store
from tests.support.waiting import until

HOSTILE = '<img src=x onerror=alert(1)>\x1b[31m "quoted" \u202e'


def chat(number: int) -> ActivityEntry:
    return ActivityEntry(
        "event", 1_000 + number, "chat-message", {"msg": f"{HOSTILE} {number}"}, "delivered", 7
    )


def command(number: int) -> ActivityEntry:
    return ActivityEntry("command", 1_000 + number, "kickPlayer", {"reason": HOSTILE}, "answered", 300, "")


def tell(passing: ActivityFeed, *events: ActivityEntry) -> None:
    passing.events(len(events), lambda: events)


class Watcher:
    """A watcher that keeps all activity it receives."""

    def __init__(self, store: Store, slug: str, **times: float) -> None:
        self.told: list[ActivityEntry] = []
        self.ids: list[str] = []
        self.listens = asyncio.Event()
        self.task = asyncio.create_task(self._run(watch(store, slug, **times)))  # type: ignore[arg-type]

    async def _run(self, told: AsyncIterator[list[ActivityEntry]]) -> None:
        async for some in told:
            self.listens.set()
            self.told += [entry._replace(id="") for entry in some]
            self.ids += [entry.id for entry in some]

    async def until(self, count: int) -> None:
        await until(lambda: len(self.told) >= count)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def look(store: Store, slug: str, passing: ActivityFeed) -> str:
    """Renews as the owner does."""
    found = await store.send("GET", keys_of(slug).watched)
    by = found.decode() if found else ""
    passing.watched(by)
    return by


async def looked_at(store: Store, slug: str, passing: ActivityFeed, not_by: str = "") -> str:
    async with asyncio.timeout(10):
        while (by := await look(store, slug, passing)) in ("", not_by):
            await asyncio.sleep(0.01)
    return by


async def test_a_watcher_receives_remembered_activity_first(store: Store, slug: str) -> None:
    passing = ActivityFeed(store, slug)
    tell(passing, chat(1), chat(2))
    watcher = Watcher(store, slug)
    await looked_at(store, slug, passing)
    passing.command(command(3))
    await watcher.until(3)
    await watcher.stop()
    assert watcher.told == [chat(1), chat(2), command(3)]


async def test_a_later_watcher_receives_all_and_the_first_nothing_twice(store: Store, slug: str) -> None:
    passing = ActivityFeed(store, slug)
    tell(passing, chat(1))
    first = Watcher(store, slug)
    by = await looked_at(store, slug, passing)
    await first.until(1)
    second = Watcher(store, slug)
    await looked_at(store, slug, passing, not_by=by)
    await second.until(1)
    tell(passing, chat(2))
    await asyncio.gather(first.until(2), second.until(2))
    await asyncio.gather(first.stop(), second.stop())
    assert first.told == second.told == [chat(1), chat(2)]


async def test_a_watcher_receives_the_activity_of_two_owners_in_turn(store: Store, slug: str) -> None:
    watcher = Watcher(store, slug)
    for number in (1, 2):
        passing = ActivityFeed(store, slug)
        tell(passing, chat(number))
        await looked_at(store, slug, passing)
    await watcher.until(2)
    await watcher.stop()
    assert watcher.told == [chat(1), chat(2)]


async def test_nothing_is_published_without_a_watcher(store: Store, slug: str) -> None:
    passing = ActivityFeed(store, slug)
    heard: list[bytes] = []

    async def listen() -> None:
        async for _, body in store.messages(f"relay:watch:{slug}"):
            heard.append(body)

    listening = asyncio.create_task(listen())
    await until(lambda: heard)
    tell(passing, chat(1))
    assert await look(store, slug, passing) == ""
    await store.send("PUBLISH", f"relay:watch:{slug}", "a mark")
    await until(lambda: len(heard) >= 2)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    assert heard == [b"", b"a mark"]


async def test_publishing_ends_some_time_after_the_last_watcher_has_left(store: Store, slug: str) -> None:
    passing = ActivityFeed(store, slug)
    watcher = Watcher(store, slug, watched_ms=300, again_s=0.1)
    await looked_at(store, slug, passing)
    await asyncio.sleep(0.5)
    assert await look(store, slug, passing)  # the watcher keeps its key alive
    await watcher.stop()
    async with asyncio.timeout(10):
        while await look(store, slug, passing):
            await asyncio.sleep(0.02)


async def test_remembered_activity_is_bounded_and_has_no_reads(store: Store, slug: str) -> None:
    passing = ActivityFeed(store, slug)
    passing.command(command(0))
    tell(passing, *map(chat, range(1, 2 * REMEMBERED + 1)))
    passing.command(command(200), remember=False)
    watcher = Watcher(store, slug)
    await looked_at(store, slug, passing)
    await watcher.until(REMEMBERED + 1)
    await watcher.stop()
    assert watcher.told == [
        command(0),
        *(chat(number) for number in range(REMEMBERED + 1, 2 * REMEMBERED + 1)),
    ]


async def test_an_unreadable_entry_is_left_out(store: Store, slug: str) -> None:
    passing = ActivityFeed(store, slug)
    watcher = Watcher(store, slug)
    await looked_at(store, slug, passing)
    for body in ("no JSON", "[]", '["run",[[1,"event"]]]', '["run",7]'):
        await store.send("PUBLISH", f"relay:watch:{slug}", body)
    tell(passing, chat(1))
    await watcher.until(1)
    await watcher.stop()
    assert watcher.told == [chat(1)]
