"""Checks the instances of this uplink every few seconds, and sends alerts that have begun or ended."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import orjson

from services.relay.protocol.errors import StoreError
from services.relay.protocol.keys import keys_of
from services.relay.service.clocks import until_shared_s
from services.relay.service.faults import FaultKind, OwnFaults
from services.relay.service.http.client import HttpAnswer, call
from services.relay.service.logs import InstanceLogger
from services.relay.service.redaction import MASK
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

TRIES = 8
POST_WITHIN_S = 10.0
MAX_WAITING = 2_000  # number of transitions that may wait for one target

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AlertTimes:
    """When instances are looked at, and messages are sent. `rules` say when an alert begins and ends."""

    check_every_s: float = 5.0
    gather_s: float = 3.0  # before a message: a cause that affects many instances does so within moments
    message_every_s: float = 15.0  # to one target
    first_pause_s: float = 2.0  # before another attempt: it doubles up to `longest_pause_s`
    longest_pause_s: float = 300.0
    again_after_s: float = AGAIN_AFTER_S
    post_within_s: float = POST_WITHIN_S
    rules: Mapping[Condition, Rule] = field(default_factory=lambda: RULES)


DEFAULT_TIMES = AlertTimes()


@dataclass(frozen=True, eq=False)
class _Target:
    """One address, with its own queue and rate limit: a target that is away does not delay another one."""

    name: str
    url: str
    body: Callable[[Sequence[Transition]], dict[str, Any]]
    waiting: deque[Transition] = field(default_factory=deque)
    has_waiting: asyncio.Event = field(default_factory=asyncio.Event)


class AlertSender:
    """Sends alerts. `sightings` gives the owned instances whose state is known; `count` counts sent messages.

    An alert is stored in Redis once it has arrived at a target: so the next owner does not repeat it, and
    sends its end. A crash before that repeats the alert. One that has arrived nowhere is sent again later.
    """

    def __init__(
        self,
        settings: Alerts,
        store: Store,
        sightings: Callable[[], Mapping[str, Sighting]],
        count: Callable[[str, bool], None],
        faults: OwnFaults | None = None,
        times: AlertTimes = DEFAULT_TIMES,
    ) -> None:
        self._faults = faults or OwnFaults()
        self._times = times
        self._silent_after_s = settings.silent_after_s
        self._store = store
        self._sightings = sightings
        self._count = count
        self._watches: dict[str, Watch] = {}
        self._under_way: dict[Transition, int] = {}  # how many targets may still take it; none has yet
        self._targets = [
            _Target(name, url.get_secret_value(), body)
            for name, url, body in (
                ("discord", settings.discord_url, words.discord),
                ("webhook", settings.webhook_url, words.generic),
            )
            if url is not None
        ]

    async def run(self) -> None:
        """Checks the instances again and again, and sends alerts. Never returns."""
        if not self._targets:
            await asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            for target in self._targets:
                group.create_task(self._faults.keep_running(logger, partial(self._serve, target)))
            while True:
                with contextlib.suppress(StoreError):
                    await self._check_all()
                await asyncio.sleep(until_shared_s(self._times.check_every_s))

    async def _check_all(self) -> None:
        now_s, wall_s, found = time.monotonic(), time.time(), self._sightings()
        for slug in self._watches.keys() - found.keys():
            del self._watches[slug]
        new = [slug for slug in found if slug not in self._watches]
        stored = await asyncio.gather(*map(self._stored, new))
        # Messages of a watch that has ended, as while Redis was away, may still be on their way.
        sending = {slug: set[Condition]() for slug in new}
        for transition in self._under_way:
            if transition.slug in sending:
                sending[transition.slug].add(transition.condition)
        for slug, reported in zip(new, stored, strict=True):
            self._watches[slug] = Watch(
                reported, self._silent_after_s, self._times.again_after_s, self._times.rules, sending[slug]
            )
        for slug, seen in found.items():
            with self._faults.contain(InstanceLogger(__name__, slug), FaultKind.LOOP):
                for transition in self._watches[slug].transitions(slug, seen, now_s, wall_s):
                    self._under_way[transition] = len(self._targets)
                    for target in self._targets:
                        self._put(target, transition)

    async def _stored(self, slug: str) -> dict[Condition, float]:
        stored = await self._store.send("HGETALL", keys_of(slug).alerts)
        known = {condition.value.encode(): condition for condition in Condition}
        return {known[name]: float(since) for name, since in pairs(stored) if name in known}

    def _put(self, target: _Target, transition: Transition) -> None:
        target.waiting.append(transition)
        if len(target.waiting) > MAX_WAITING:
            self._done(target.waiting.popleft(), arrived=False)
            self._count(target.name, False)
        target.has_waiting.set()

    def _done(self, sent: Transition, *, arrived: bool) -> None:
        """A target has taken the transition, or not. It has arrived once the first target has taken it."""
        targets = self._under_way.pop(sent, 0)
        if targets > 1 and not arrived:
            self._under_way[sent] = targets - 1
        elif targets:
            if watch := self._watches.get(sent.slug):
                watch.settle(sent, arrived, time.monotonic())
            key = keys_of(sent.slug).alerts
            if arrived and sent.began:
                self._store.write_unawaited("HSET", key, sent.condition.value, f"{sent.since_s:.0f}")
            elif arrived:
                self._store.send_unawaited("HDEL", key, sent.condition.value)

    async def _serve(self, target: _Target) -> None:
        while True:
            await target.has_waiting.wait()
            await asyncio.sleep(self._times.gather_s)
            transitions = list(target.waiting)
            target.waiting.clear()
            target.has_waiting.clear()
            sent = False
            with self._faults.contain(logger, FaultKind.LOOP):
                sent = await self._send(target, orjson.dumps(target.body(transitions)))
            self._count(target.name, sent)
            for transition in transitions:
                with self._faults.contain(InstanceLogger(__name__, transition.slug), FaultKind.LISTENER):
                    self._done(transition, arrived=sent)
            await asyncio.sleep(self._times.message_every_s)

    async def _send(self, target: _Target, body: bytes) -> bool:
        """Sends one message, with up to TRIES attempts. Returns whether the target has taken it."""
        pause_s, why = self._times.first_pause_s, ""
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(min(pause_s, self._times.longest_pause_s))
                pause_s *= 2
            try:
                answer = await post(target.url, body, self._times.post_within_s)
            except (OSError, ValueError) as error:  # TimeoutError and TLS are OSErrors
                why = str(error)
                continue
            if answer.succeeded:
                return True
            why = f"it answers {answer.status}"
            if answer.status < 500 and answer.status not in (408, 425, 429):
                break
            pause_s = max(pause_s, _asked_pause_s(answer))
        logger.error(
            "alerts.%s_url: a message could not be delivered to %s: %s", target.name, shown(target.url), why
        )
        return False


async def post(url: str, body: bytes, within_s: float = POST_WITHIN_S) -> HttpAnswer:
    """Sends `body`, which is JSON, to a webhook. Reads no body of the answer. Raises what `call` raises."""
    return await call("POST", url, within_s=within_s, max_bytes=0, json_body=body)


def shown(url: str) -> str:
    """The address without its secrets: a name, a password, and everything after the host."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/{MASK}"


def _asked_pause_s(answer: HttpAnswer) -> float:
    """How long the server asks not to be called; 0: it does not say, or says it with a date."""
    try:
        wait_s = float(answer.headers.get("Retry-After", ""))
    except ValueError:
        return 0.0
    return wait_s if 0 <= wait_s < 1e6 else 0.0
