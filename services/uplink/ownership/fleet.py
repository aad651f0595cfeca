"""Owns this uplink's share of the instances, and wakes them when there is something to do."""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from services.relay.instances.facts import ServerCause, facts_of, server_cause
from services.relay.protocol.errors import StoreError
from services.relay.protocol.keys import WAKE_EVENTS, WAKE_LEASES, WAKE_RESULTS
from services.relay.service import arrivals
from services.relay.service.clocks import until_shared_s
from services.relay.service.faults import FaultKind
from services.relay.service.lifecycle import cancelled
from services.relay.service.logs import InstanceLogger
from services.relay.service.settings import Instance
from services.relay.service.token_bucket import TokenBucket
from services.relay.store.client import resubscribing
from services.relay.store.leases import LEASE_TIMES, RENEW_EVERY_S, LeaseTimes
from services.uplink.connection.closing_times import LEAVE_WITHIN_S, STOP_WITHIN_S
from services.uplink.context import UplinkContext
from services.uplink.ownership.claims import STILL_FOR_S, WANTED_FOR_S, Claim
from services.uplink.ownership.heartbeat import Heartbeat
from services.uplink.ownership.instance_owner import InstanceOwner
from services.uplink.ownership.members import ALIVE_FOR_S, BEAT_EVERY_S, Members, preferred
from services.uplink.reporting.alerts.conditions import Sighting
from services.uplink.reporting.metrics import CAUSES_OF_SERVED

MEASURED_AT_ONCE = 50

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FleetTimes:
    """The times of an uplink. Those with a name of their own are explained there."""

    renew_every_s: float = RENEW_EVERY_S
    slow_after_s: float = 0.5  # the next renewals wait this long for slow ones: leases are trusted for 3.5 s
    measure_every_s: float = 5.0
    moves_per_s: float = 5.0  # number of instances that an uplink takes in a second after it has joined
    settled_after_s: float = 3.0  # until it takes the first: a deployment restarts one uplink after the other
    beat_every_s: float = BEAT_EVERY_S
    alive_for_s: float = ALIVE_FOR_S
    stop_within_s: float = STOP_WITHIN_S
    lease: LeaseTimes = LEASE_TIMES
    still_for_s: float = STILL_FOR_S
    wanted_for_s: float = WANTED_FOR_S


DEFAULT_TIMES = FleetTimes()


class Fleet:
    """All instances that have a registration token, and the claims of this uplink on them."""

    def __init__(self, context: UplinkContext, times: FleetTimes = DEFAULT_TIMES) -> None:
        self._context = context
        self._times = times
        members = Members(context.uplink, times.alive_for_s)
        self.heartbeat = Heartbeat(context.store, context.metrics, members, times.beat_every_s)
        self._moves = TokenBucket(times.moves_per_s, times.moves_per_s, time.monotonic())
        self.instances: dict[str, Instance] = {}
        self._unowned: set[str] = set()  # those of this uplink's share that no uplink owns
        self.owners: dict[str, InstanceOwner] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._closing: dict[asyncio.Task[None], InstanceOwner] = {}
        self._taking: set[asyncio.Task[None]] = set()
        self._tending: dict[str, asyncio.Task[None]] = {}

    def update(self, instances: Mapping[str, Instance]) -> None:
        """Takes over the instances. Begins new ones, and ends those that are gone or changed."""
        gone = self.instances.keys() - instances.keys()
        self._unowned -= gone
        for slug in gone - self.owners.keys():
            self._context.metrics.instances.forget(slug)
        self.instances = dict(instances)
        for slug, owner in list(self.owners.items()):
            if instances.get(slug) != owner.instance:
                del self.owners[slug]
                self._end(slug, owner, served=slug in instances)
        for slug, instance in instances.items():
            if slug in self.owners:
                continue
            with self._contain(slug, FaultKind.LISTENER):
                if instance.registration_token:
                    claim = Claim(self._times.still_for_s, self._times.wanted_for_s)
                    self.owners[slug] = InstanceOwner(instance, self._context, claim, self._times.lease)
                else:
                    InstanceLogger(__name__, slug).warning(
                        "no registration token: events are kept, nothing reaches Takaro yet"
                    )

    def _end(self, slug: str, owner: InstanceOwner, *, served: bool) -> None:
        """Ends an instance here. Its sockets close when the requests that came over them are answered.

        `served`: another one of the same slug begins once this one's lease is released, and the mod polls on.
        """
        owner.served = served
        closed_by_s = time.monotonic() + LEAVE_WITHIN_S
        before = self._ending.get(slug)

        async def let_go() -> None:
            if before:
                await asyncio.wait([before])
            with self._contain(slug, FaultKind.LOOP):
                await owner.let_go()
            if slug not in self.owners:
                self._context.metrics.instances.forget(slug)

        async def leave() -> None:
            await asyncio.wait([task])
            elsewhere = asyncio.Event() if served else None
            with self._contain(slug, FaultKind.LOOP):
                await owner.leave(closed_by_s, elsewhere, has_successor=served)

        task = self._ending[slug] = asyncio.create_task(let_go())
        task.add_done_callback(lambda ended: self._ending.get(slug) is ended and self._ending.pop(slug))
        leaving = asyncio.create_task(leave())
        self._closing[leaving] = owner
        leaving.add_done_callback(self._closing.pop)

    def sightings(self) -> dict[str, Sighting]:
        """The input of the alerts: each instance of this uplink whose state is known."""
        found = {}
        for slug, owner in self.owners.items():
            with self._contain(slug, FaultKind.LISTENER):
                if sighting := owner.sighting():
                    found[slug] = sighting
        return found

    async def run(self) -> None:
        """Never returns. When it is cancelled, releases all leases, and closes each socket as soon as the
        requests that came over it are answered, within `stop_within_s`."""
        try:
            async with asyncio.TaskGroup() as group:
                for loop in (
                    self.heartbeat.run,
                    self._keep_leases,
                    partial(arrivals.watch, self._context.stalls),
                    self._listen,
                    self._measure,
                ):
                    group.create_task(self._context.metrics.service.faults.keep_running(logger, loop))
        finally:
            await self._stop(time.monotonic() + self._times.stop_within_s)

    async def _stop(self, closed_by_s: float) -> None:
        """Releases leases first, so that others can take over, then answers requests, then closes sockets."""
        for task in (*self._tending.values(), *self._taking):
            task.cancel()
        self._unowned.clear()
        others = await self.heartbeat.sign_off()
        waits = {owner: asyncio.Event() for owner in self.owners.values()}  # ends when a successor is there
        ending = asyncio.create_task(self._end_waits(others, waits))
        left = set(self._closing.values())
        await asyncio.gather(
            *(self._let_go(owner, closed_by_s, wait) for owner, wait in waits.items()),
            *(owner.leave(closed_by_s, has_successor=False) for owner in left),
            *self._ending.values(),
        )
        await cancelled(ending)

    async def _let_go(self, owner: InstanceOwner, closed_by_s: float, wait: asyncio.Event) -> None:
        with self._contain(owner.instance.slug, FaultKind.LOOP):
            await owner.let_go()
        with self._contain(owner.instance.slug, FaultKind.LOOP):
            await owner.leave(closed_by_s, wait, has_successor=not wait.is_set())

    async def _end_waits(self, others: frozenset[str], waits: Mapping[InstanceOwner, asyncio.Event]) -> None:
        """While we stop: ends the waits for a successor once no other uplink is alive any more. If none is,
        it does so before the waits begin."""
        await self.heartbeat.until_alone(others)
        for owner, wait in waits.items():
            if not wait.is_set():
                wait.set()
                owner.refuse_new()

    async def _keep_leases(self) -> None:
        await self.heartbeat.beat()  # the uplinks that are alive decide which instances we take
        while True:
            await self._tend_all()
            self._context.metrics.leases.set(sum(owner.lease.held for owner in self.owners.values()))
            self._context.metrics.leases_wanted.set(len(self.owners))
            await asyncio.sleep(until_shared_s(self._times.renew_every_s))

    async def _tend_all(self) -> None:
        """Renews each lease. A slow primary of a cluster delays only the instances whose leases it has."""
        for slug, owner in self.owners.items():
            if slug not in self._ending and slug not in self._tending:
                self._tending[slug] = asyncio.create_task(self._tend(slug, owner))
        if self._tending:
            await asyncio.wait(self._tending.values(), timeout=self._times.slow_after_s)
        self._tending = {slug: task for slug, task in self._tending.items() if not task.done()}

    async def _tend(self, slug: str, owner: InstanceOwner) -> None:
        with self._contain(slug, FaultKind.LOOP):
            await owner.tend(preferred=self._is_preferred(slug), may_move=self._may_move)

    def _may_move(self) -> bool:
        now_s = time.monotonic()
        settled = now_s - self.heartbeat.members.since_s > self._times.settled_after_s
        return settled and self._moves.admits(now_s)

    async def _measure(self) -> None:
        """Updates the metrics of each instance, a few at a time, so that the loop is not held up."""
        states = dict[str, ServerCause | None]()
        while True:
            slugs, found = list(self.instances), list[ServerCause | None]()
            for start in range(0, len(slugs), MEASURED_AT_ONCE):
                some = slugs[start : start + MEASURED_AT_ONCE]
                found += await asyncio.gather(*(self._measured(slug, states.get(slug)) for slug in some))
            states = dict(zip(slugs, found, strict=True))
            counts = Counter(states.values())
            for state in CAUSES_OF_SERVED:
                self._context.metrics.by_state.labels(state).set(counts[state])
            await asyncio.sleep(until_shared_s(self._times.measure_every_s))

    async def _measured(self, slug: str, before: ServerCause | None) -> ServerCause | None:
        """The state of an instance that is ours, or of one of our share that no uplink owns; else None.
        `before`, which was known last, if it cannot be read."""
        with self._contain(slug, FaultKind.LOOP), contextlib.suppress(StoreError):
            facts = None
            if not self._holds(slug) and self._is_preferred(slug):
                facts = await facts_of(self._context.store, slug)
            if self._holds(slug):
                self._unowned.discard(slug)
                return await self.owners[slug].measure()
            instance = self.instances.get(slug)
            if instance is None or facts is None or facts.uplink:
                self._unowned.discard(slug)
                return None
            self._unowned.add(slug)
            row = self._context.metrics.instances.row(slug)
            row.shown = lambda: self._holds(slug) or slug in self._unowned
            self._context.metrics.show_waiting(row, facts)
            return server_cause(facts, has_token=instance.registration_token is not None)
        return before

    def _contain(self, slug: str, kind: FaultKind) -> contextlib.AbstractContextManager[None]:
        return self._context.metrics.service.faults.contain(InstanceLogger(__name__, slug), kind)

    def _holds(self, slug: str) -> bool:
        return slug in self.owners and self.owners[slug].lease.held

    def _is_preferred(self, slug: str) -> bool:
        """Whether the instance belongs to this uplink, among those that are alive."""
        return preferred(slug, self.heartbeat.members.alive) == self._context.uplink

    async def _came_free(self, slugs: Iterable[str]) -> None:
        """Renews leases that were released, most likely by an uplink that stops."""
        await self.heartbeat.beat()
        free = [slug for slug in slugs if slug in self.owners and slug not in self._ending]
        await asyncio.gather(*(self._tend(slug, self.owners[slug]) for slug in free))

    async def _listen(self) -> None:
        """Wakes an instance as soon as there is something to do, or its lease is free."""
        channels = WAKE_EVENTS, WAKE_RESULTS, WAKE_LEASES
        async for channel, hint in resubscribing(lambda: self._context.store.messages(*channels)):
            names, _, batch = hint.partition(b"\n")
            slugs = names.decode().split()
            if channel == WAKE_LEASES:  # side by side: an uplink that stops frees a hundred
                task = asyncio.create_task(self._came_free(slugs))
                self._taking.add(task)
                task.add_done_callback(self._taking.discard)
                continue
            for slug in slugs:
                with self._contain(slug, FaultKind.LISTENER):
                    if (owner := self.owners.get(slug)) and owner.in_use:
                        owner.in_use.wake(
                            events=channel == WAKE_EVENTS, results=channel == WAKE_RESULTS, batch=batch
                        )
