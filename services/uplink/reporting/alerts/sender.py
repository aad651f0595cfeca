"""Looks at the instances of this uplink every few seconds, and sends alerts that have begun or ended."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from services.relay.protocol.errors import StoreError
from services.relay.protocol.keys import keys_of
from services.relay.service.clocks import until_shared_s
from services.relay.service.faults import FaultKind, OwnFaults
from services.relay.service.logs import InstanceLogger
from services.relay.service.settings import Alerts
from services.relay.store.client import Store, pairs
from services.uplink.reporting.alerts import words
from services.uplink.reporting.alerts.conditions import (
    AGAIN_AFTER_S,
    RULES,
    Condition,
    Rule,
    Sighting,
    Transition,
    Watch,
)
from services.uplink.reporting.alerts.post import POST_WITHIN_S, post, shown

TRIES = 8
MAX_WAITING = 2_000
"""Number of transitions that may wait for one target."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AlertTimes:
    """The times of alerts.

    Transitions are gathered for `gather_s` before a message: a cause that affects many instances affects them
    within moments. Messages to one target are `message_every_s` apart. The pause before another attempt
    doubles from `first_pause_s` to `longest_pause_s`. `rules` say when an alert begins and ends.
    """

    look_every_s: float = 5.0
    gather_s: float = 3.0
    message_every_s: float = 15.0
    first_pause_s: float = 2.0
    longest_pause_s: float = 300.0
    again_after_s: float = AGAIN_AFTER_S
    post_within_s: float = POST_WITHIN_S
    rules: Mapping[Condition, Rule] = field(default_factory=lambda: RULES)


DEFAULT_TIMES = AlertTimes()


class AlertSender:
    """Sends alerts. `look` gives the owned instances whose state is known; `count` counts sent messages.

    An alert is stored in Redis once it has arrived at a target: so the next owner does not repeat it, and
    sends its end. A crash before that repeats the alert. One that has arrived nowhere is sent again later.
    """

    def __init__(
        self,
        settings: Alerts,
        store: Store,
        look: Callable[[], Mapping[str, Sighting]],
        count: Callable[[str, bool], None],
        faults: OwnFaults | None = None,
        times: AlertTimes = DEFAULT_TIMES,
    ) -> None:
        self._faults = faults or OwnFaults()
        self._times = times
        self._silent_after_s = settings.silent_after_s
        self._store = store
        self._look = look
        self._watches: dict[str, Watch] = {}
        self._targets = [
            _Target(name, url.get_secret_value(), body, count, self._faults, self._times)
            for name, url, body in (
                ("discord", settings.discord_url, words.discord),
                ("webhook", settings.webhook_url, words.generic),
            )
            if url is not None
        ]

    async def run(self) -> None:
        """Looks at the instances again and again, and sends alerts. Never returns."""
        if not self._targets:
            await asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            for target in self._targets:
                group.create_task(self._faults.keep_running(logger, target.run))
            while True:
                with contextlib.suppress(StoreError):
                    await self._look_at_all()
                await asyncio.sleep(until_shared_s(self._times.look_every_s))

    async def _look_at_all(self) -> None:
        now_s, wall_s, found = time.monotonic(), time.time(), self._look()
        for slug in self._watches.keys() - found.keys():
            del self._watches[slug]
        new = [slug for slug in found if slug not in self._watches]
        for slug, stored in zip(new, await asyncio.gather(*map(self._stored, new)), strict=True):
            self._watches[slug] = Watch(
                stored, self._silent_after_s, self._times.again_after_s, self._times.rules
            )
        for slug, seen in found.items():
            with self._faults.contain(InstanceLogger(logger, slug), FaultKind.LOOP):
                for transition in self._watches[slug].look(slug, seen, now_s, wall_s):
                    message = _Message(transition, len(self._targets), self._settle)
                    for target in self._targets:
                        target.put(message)

    async def _stored(self, slug: str) -> dict[Condition, float]:
        stored = await self._store.send("HGETALL", keys_of(slug).alerts)
        known = {condition.value.encode(): condition for condition in Condition}
        return {known[name]: float(since) for name, since in pairs(stored) if name in known}

    def _settle(self, sent: Transition, arrived: bool) -> None:
        if watch := self._watches.get(sent.slug):
            watch.settle(sent, arrived, time.monotonic())
        key = keys_of(sent.slug).alerts
        if arrived and sent.began:
            self._store.send_unawaited("HSET", key, sent.condition.value, f"{sent.since_s:.0f}")
        elif arrived:
            self._store.send_unawaited("HDEL", key, sent.condition.value)


class _Message:
    """A transition on its way to every target. It has arrived once the first target has taken it."""

    def __init__(
        self, transition: Transition, targets: int, settle: Callable[[Transition, bool], None]
    ) -> None:
        self.transition = transition
        self._left = targets
        self._arrived = False
        self._settle = settle

    def done(self, taken: bool) -> None:
        self._left -= 1
        if not self._arrived and (taken or not self._left):
            self._arrived = taken
            self._settle(self.transition, taken)


class _Target:
    """One address, with its own queue and rate limit: a target that is away does not delay another one."""

    def __init__(
        self,
        name: str,
        url: str,
        body: Callable[[Sequence[Transition]], dict[str, Any]],
        count: Callable[[str, bool], None],
        faults: OwnFaults,
        times: AlertTimes,
    ) -> None:
        self._faults = faults
        self._times = times
        self._name = name
        self._url = url
        self._body = body
        self._count = count
        self._waiting: deque[_Message] = deque()
        self._has_messages = asyncio.Event()

    def put(self, message: _Message) -> None:
        self._waiting.append(message)
        if len(self._waiting) > MAX_WAITING:
            self._waiting.popleft().done(taken=False)
            self._count(self._name, False)
        self._has_messages.set()

    async def run(self) -> None:
        while True:
            await self._has_messages.wait()
            await asyncio.sleep(self._times.gather_s)
            messages = list(self._waiting)
            self._waiting.clear()
            self._has_messages.clear()
            sent = False
            with self._faults.contain(logger, FaultKind.LOOP):
                sent = await self._send(
                    orjson.dumps(self._body([message.transition for message in messages]))
                )
            self._count(self._name, sent)
            for message in messages:
                with self._faults.contain(
                    InstanceLogger(logger, message.transition.slug), FaultKind.LISTENER
                ):
                    message.done(sent)
            await asyncio.sleep(self._times.message_every_s)

    async def _send(self, body: bytes) -> bool:
        """Sends one message, with up to TRIES attempts. Returns whether the target has taken it."""
        pause_s, why = self._times.first_pause_s, ""
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(min(pause_s, self._times.longest_pause_s))
                pause_s *= 2
            try:
                reply = await post(self._url, body, self._times.post_within_s)
            except (OSError, ValueError) as error:  # TimeoutError and TLS are OSErrors
                why = str(error) or type(error).__name__
                continue
            if reply.taken:
                return True
            why = f"it answers {reply.status}"
            if not reply.worth_another_try:
                break
            pause_s = max(pause_s, reply.wait_s)
        logger.error(
            "alerts.%s_url: a message could not be delivered to %s: %s", self._name, shown(self._url), why
        )
        return False
