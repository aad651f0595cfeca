"""What passes an instance that is ours: remembered and told to whoever watches, counted by the minute."""

import time
from collections.abc import Iterator
from functools import partial

from services.relay.instances.activity import DELIVERED, EXPIRED, REFUSED, ActivityEntry, ActivityFeed
from services.relay.instances.minutes import Minutes
from services.relay.protocol.records import Command, Outcome
from services.relay.protocol.vocabulary import ACTION_RULES, ActionKind
from services.relay.service.clocks import boottime_s
from services.relay.store.client import Store
from services.uplink.events.receipts import TakenWindow
from services.uplink.takaro.failures import CommandFailure


class ActivityLog:
    """Takes note of events and commands at their end."""

    def __init__(self, store: Store, slug: str) -> None:
        self._activity = ActivityFeed(store, slug)
        self._minutes = Minutes(store, slug)
        self._ahead_ms = (
            time.time() * 1000 - time.monotonic() * 1000
        )  # of Redis' clock, as soon as it is known

    def looked(self, now_ms: int, watched: str) -> None:
        """A look at the lease has found that time on Redis' clock, and that watcher."""
        self._ahead_ms = now_ms - time.monotonic() * 1000
        self._minutes.looked(now_ms, live=bool(watched))
        self._activity.watched(watched)

    def taken(self, taken: TakenWindow) -> None:
        """Takaro has a window of events."""
        now_ms = self._now_ms()
        window = taken.window
        took_ms = round((boottime_s() - window.accepted_s) * 1000) if window.events else 0
        if window.events:
            self._minutes.events(took_ms, len(window.events))
        count = len(window.events) + len(window.expired) + len(taken.refused)
        self._activity.events(count, partial(_events, taken, now_ms, took_ms))

    def command(self, command: Command, result: Outcome | CommandFailure, took_s: float) -> None:
        """A command has come to its end. Reads are too many to be remembered, and nobody counts them."""
        write = ACTION_RULES[command.action].kind is ActionKind.WRITE
        if write:
            self._minutes.command()
        if isinstance(result, CommandFailure):
            fate, detail = result.cause.value, result.text
        else:
            fate, detail = ("refused" if result.error else "answered"), result.error
        passed = ActivityEntry(
            "command", self._now_ms(), command.action, command.args, fate, round(took_s * 1000), detail
        )
        self._activity.command(passed, remember=write)

    def close(self) -> None:
        """It is ours no longer: what was counted of this minute is written down."""
        self._minutes.write()

    def _now_ms(self) -> int:
        return int(time.monotonic() * 1000 + self._ahead_ms)


def _events(taken: TakenWindow, now_ms: int, took_ms: int) -> Iterator[ActivityEntry]:
    for event in taken.window.events:
        yield ActivityEntry("event", now_ms, event["type"], event["data"], DELIVERED, took_ms)
    for event in taken.window.expired:
        yield ActivityEntry("event", now_ms, event["type"], event["data"], EXPIRED, 0)
    for refused in taken.refused:
        data = {"candidates": len(refused.candidates)}
        yield ActivityEntry("event", now_ms, "refused", data, REFUSED, 0, refused.reason)
