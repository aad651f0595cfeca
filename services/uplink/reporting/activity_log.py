"""Records delivered events and finished commands of an owned instance, for watchers and the page's charts."""

import time
from collections.abc import Iterator
from functools import partial

from services.relay.instances.activity import DELIVERED, EXPIRED, REFUSED, ActivityEntry, ActivityFeed
from services.relay.instances.failed_commands import note_failed
from services.relay.instances.half_hours import LinkedTime
from services.relay.instances.minutes import Minutes
from services.relay.protocol.records import Command, Outcome
from services.relay.protocol.vocabulary import ACTION_RULES, ActionKind
from services.relay.store.client import Store
from services.uplink.events.receipts import TakenWindow
from services.uplink.takaro.failures import CommandFailure


class ActivityLog:
    """Records events and commands when they have ended."""

    def __init__(self, store: Store, slug: str) -> None:
        self._store, self._slug = store, slug
        self._activity = ActivityFeed(store, slug)
        self._minutes = Minutes(store, slug)
        self._linked_time = LinkedTime(store, slug)
        # How far Redis' clock is ahead of time.monotonic(); until `looked` is called, by this machine's
        # clock.
        self._ahead_ms = time.time() * 1000 - time.monotonic() * 1000

    def looked(self, now_ms: int, watched: str, *, linked: bool = False) -> None:
        """Takes over Redis' clock and the name of the watcher ("": none), as the last renewal of the lease
        read them. `linked`: the link is ready."""
        self._ahead_ms = now_ms - time.monotonic() * 1000
        self._minutes.looked(now_ms, live=bool(watched))
        self._linked_time.looked(now_ms, linked=linked)
        self._activity.watched(watched)

    def taken(self, taken: TakenWindow) -> None:
        """Records a window of events that Takaro has taken."""
        now_ms = int(time.monotonic() * 1000 + self._ahead_ms)
        window = taken.window
        took_ms = round(taken.took_s * 1000) if window.events else 0
        if window.events:
            self._minutes.events(took_ms, len(window.events))
        count = len(window.events) + len(window.expired) + len(taken.refused)
        self._activity.events(count, partial(_events, taken, now_ms, took_ms))

    def command(self, command: Command, result: Outcome | CommandFailure, took_s: float) -> None:
        """Records a command that has ended, after `took_s`. Reads are neither remembered nor counted: they
        are too many."""
        write = ACTION_RULES[command.action].kind is ActionKind.WRITE
        now_ms = int(time.monotonic() * 1000 + self._ahead_ms)
        if write:
            self._minutes.command()
        if isinstance(result, CommandFailure):
            end, detail = result.cause.value, result.text
        else:
            end, detail = ("refused" if result.error else "answered"), result.error
        if write and end != "answered":
            note_failed(self._store, self._slug, command.operation_id, now_ms)
        entry = ActivityEntry(
            "command", now_ms, command.action, command.args, end, round(took_s * 1000), detail
        )
        self._activity.command(entry, remember=write)

    def close(self) -> None:
        """Writes the counts of the current minute to Redis: another uplink becomes the owner."""
        self._minutes.write()
        self._linked_time.write()


def _events(taken: TakenWindow, now_ms: int, took_ms: int) -> Iterator[ActivityEntry]:
    for event in taken.window.events:
        yield ActivityEntry("event", now_ms, event["type"], event["data"], DELIVERED, took_ms)
    for event in taken.window.expired:
        yield ActivityEntry("event", now_ms, event["type"], event["data"], EXPIRED, 0)
    for refused in taken.refused:
        data = {"candidates": len(refused.candidates)}
        yield ActivityEntry("event", now_ms, "refused", data, REFUSED, 0, refused.reason)
