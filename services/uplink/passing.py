"""What passes an instance that is ours: remembered and told to whoever watches, counted by the minute."""

import time
from collections.abc import Iterator
from functools import partial

from services.relay.clocks import boottime_s
from services.relay.instances.minutes import Minutes
from services.relay.instances.watching import DELIVERED, EXPIRED, REFUSED, Passed, Passing
from services.relay.records import Command, Outcome
from services.relay.store import Store
from services.relay.vocabulary import ACTION_RULES, Kind
from services.uplink.takaro.delivery import Taken
from services.uplink.takaro.failures import Failure


class PassingBy:
    """Takes note of events and commands at their end."""

    def __init__(self, store: Store, slug: str) -> None:
        self._passing = Passing(store, slug)
        self._minutes = Minutes(store, slug)
        self._ahead_ms = (
            time.time() * 1000 - time.monotonic() * 1000
        )  # of Redis' clock, as soon as it is known

    def looked(self, now_ms: int, watched: str) -> None:
        """A look at the lease has found that time on Redis' clock, and that watcher."""
        self._ahead_ms = now_ms - time.monotonic() * 1000
        self._minutes.looked(now_ms, live=bool(watched))
        self._passing.watched(watched)

    def taken(self, taken: Taken) -> None:
        """Takaro has a window of events."""
        now_ms = self._now_ms()
        window = taken.window
        took_ms = round((boottime_s() - window.accepted_s) * 1000) if window.events else 0
        if window.events:
            self._minutes.events(took_ms, len(window.events))
        count = window.counts + len(taken.refused)
        self._passing.events(count, partial(_events, taken, now_ms, took_ms))

    def command(self, command: Command, result: Outcome | Failure, took_s: float) -> None:
        """A command has come to its end. Reads are too many to be remembered, and nobody counts them."""
        write = ACTION_RULES[command.action].kind is Kind.WRITE
        if write:
            self._minutes.command()
        if isinstance(result, Failure):
            fate, detail = result.cause.value, result.text
        else:
            fate, detail = ("refused" if result.error else "answered"), result.error
        passed = Passed(
            "command", self._now_ms(), command.action, command.args, fate, round(took_s * 1000), detail
        )
        self._passing.command(passed, remember=write)

    def close(self) -> None:
        """It is ours no longer: what was counted of this minute is written down."""
        self._minutes.write()

    def _now_ms(self) -> int:
        return int(time.monotonic() * 1000 + self._ahead_ms)


def _events(taken: Taken, now_ms: int, took_ms: int) -> Iterator[Passed]:
    for event in taken.window.events:
        yield Passed("event", now_ms, event["type"], event["data"], DELIVERED, took_ms)
    for event in taken.window.expired:
        yield Passed("event", now_ms, event["type"], event["data"], EXPIRED, 0)
    for refused in taken.refused:
        data = {"candidates": len(refused.candidates)}
        yield Passed("event", now_ms, "refused", data, REFUSED, 0, refused.reason)
