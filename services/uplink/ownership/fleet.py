"""The instances of this uplink among the uplinks of the fleet: who owns what, and what wakes it."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Mapping
from functools import partial

from services.relay.instances.server_state import ServerState
from services.relay.protocol.errors import StoreError
from services.relay.protocol.keys import BEATS, UPLINKS, WAKE_EVENTS, WAKE_LEASES, WAKE_RESULTS
from services.relay.service import stalls
from services.relay.service.faults import FaultKind
from services.relay.service.lifecycle import cancelled
from services.relay.service.logs import CHANGE, InstanceLogger
from services.relay.service.settings import Instance
from services.relay.service.token_bucket import TokenBucket
from services.relay.store.client import pairs, steadily
from services.relay.store.leases import RENEW_EVERY_S
from services.uplink.connection.closing_times import ANSWERED_WITHIN_S, STOP_WITHIN_S
from services.uplink.context import UplinkContext
from services.uplink.ownership.instance_owner import InstanceOwner
from services.uplink.ownership.members import BEAT_EVERY_S, Members
from services.uplink.ownership.placement import preferred
from services.uplink.ownership.unowned import UnownedInstances
from services.uplink.reporting.alerts.conditions import Sighting

MOVES_PER_S = 5
"""A joining uplink takes its share little by little."""

MEASURE_EVERY_S = 5.0
MEASURED_AT_ONCE = 50
SLOW_AFTER_S = 0.5
"""The next look at the others does not wait longer: they are trusted for 3.5 s."""

SETTLED_AFTER_S = 3.0
"""Nothing moves while uplinks come and go: a deployment restarts them one after the other."""

SIGN_OFF_WITHIN_S = 0.5
LOOK_FOR_OTHERS_EVERY_S = 0.25

logger = logging.getLogger(__name__)


class Fleet:
    """All instances that have what it takes to reach Takaro, as far as they are this uplink's."""

    def __init__(self, context: UplinkContext) -> None:
        self._context = context
        self.uplink = context.uplink
        self._store = context.store
        self._metrics = context.metrics
        self._faults = context.metrics.service.faults
        self._members = Members(self.uplink)
        self._moves = TokenBucket(MOVES_PER_S, MOVES_PER_S, time.monotonic())
        self._beats = 0
        self.instances: dict[str, Instance] = {}
        self._unowned = UnownedInstances(self._store, self._metrics, self._holds)
        self._owners: dict[str, InstanceOwner] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._closing: dict[asyncio.Task[None], InstanceOwner] = {}
        self._elsewhere: dict[str, asyncio.Event] = {}  # of each instance, while we stop
        self._alone = asyncio.Event()
        self._taking: set[asyncio.Task[None]] = set()
        self._tending: dict[str, asyncio.Task[None]] = {}

    def update(self, instances: Mapping[str, Instance]) -> None:
        """These are the instances now: new ones get a berth, those that are gone or changed lose theirs."""
        self.instances = dict(instances)
        self._unowned.keep(instances)
        for slug, owner in list(self._owners.items()):
            if instances.get(slug) != owner.instance:
                del self._owners[slug]
                self._end(slug, owner, served=slug in instances)
        for slug, instance in instances.items():
            with self._faults.kept(InstanceLogger(logger, slug), FaultKind.LISTENER):
                self._begin(slug, instance)

    def _begin(self, slug: str, instance: Instance) -> None:
        if slug in self._owners:
            return
        if instance.registration_token:
            self._owners[slug] = InstanceOwner(instance, self._context)
        else:
            InstanceLogger(logger, slug).warning(
                "no registration token: events are kept, nothing reaches Takaro yet"
            )

    def _end(self, slug: str, owner: InstanceOwner, *, served: bool) -> None:
        """Ends a berth; another one of the same name begins when it has given its lease back. Its sockets go
        when what was asked on them is answered. `served`: there is another one, and the mod goes on polling.
        """
        closed_by_s = time.monotonic() + ANSWERED_WITHIN_S
        before = self._ending.get(slug)

        async def let_go() -> None:
            if before:
                await asyncio.wait([before])
            with self._faults.kept(InstanceLogger(logger, slug), FaultKind.LOOP):
                await owner.let_go()
            if slug not in self._owners:
                self._metrics.instances.forget(slug)

        async def leave(letting_go: asyncio.Task[None]) -> None:
            await asyncio.wait([letting_go])
            elsewhere = asyncio.Event() if served else None
            with self._faults.kept(InstanceLogger(logger, slug), FaultKind.LOOP):
                await owner.leave(closed_by_s, elsewhere, has_successor=served, mod_polls=served)

        task = self._ending[slug] = asyncio.create_task(let_go())
        task.add_done_callback(lambda ended: self._ending.get(slug) is ended and self._ending.pop(slug))
        closing_times = asyncio.create_task(leave(task))
        self._closing[closing_times] = owner
        closing_times.add_done_callback(self._closing.pop)

    def sightings(self) -> dict[str, Sighting]:
        """The instances that are this uplink's, as far as they can be judged."""
        found = {}
        for slug, owner in self._owners.items():
            with self._faults.kept(InstanceLogger(logger, slug), FaultKind.LISTENER):
                if sighting := owner.sighting():
                    found[slug] = sighting
        return found

    async def run(self) -> None:
        """Never returns. When it is cancelled, leases are given back, and sockets are closed within
        STOP_WITHIN_S: as soon as what was asked on them is answered."""
        try:
            async with asyncio.TaskGroup() as group:
                for loop in (
                    self._beat,
                    self._keep_leases,
                    partial(stalls.watch, self._context.stalls),
                    self._listen,
                    self._measure,
                ):
                    group.create_task(self._faults.kept_going(logger, loop))
        finally:
            await self._stop(time.monotonic() + STOP_WITHIN_S)

    async def _stop(self, closed_by_s: float) -> None:
        """First the claims on what others may take, then what is open, then the sockets."""
        for task in (*self._tending.values(), *self._taking):
            task.cancel()
        self._unowned.keep({})
        signing_off = self._store.send("HDEL", UPLINKS, self.uplink)
        signing_off.add_done_callback(lambda reply: reply.cancelled() or reply.exception())
        # Not cancelled when the time is up: a call that was cancelled is not sent, and this one is to be.
        await asyncio.wait([signing_off], timeout=SIGN_OFF_WITHIN_S)
        others = self._members.alive - {self.uplink}
        looking = asyncio.create_task(self._look_for(others))
        left = set(self._closing.values())
        await asyncio.gather(
            *(self._let_go(slug, owner, closed_by_s, bool(others)) for slug, owner in self._owners.items()),
            *(owner.leave(closed_by_s, has_successor=False) for owner in left),
            *self._ending.values(),
        )
        await cancelled(looking)

    async def _let_go(self, slug: str, owner: InstanceOwner, closed_by_s: float, has_successor: bool) -> None:
        with self._faults.kept(InstanceLogger(logger, slug), FaultKind.LOOP):
            await owner.let_go()
        elsewhere = self._elsewhere[slug] = asyncio.Event()
        if self._alone.is_set() or not has_successor:
            elsewhere.set()
            has_successor = False
        with self._faults.kept(InstanceLogger(logger, slug), FaultKind.LOOP):
            await owner.leave(closed_by_s, elsewhere, has_successor=has_successor)

    async def _look_for(self, others: frozenset[str]) -> None:
        """While we stop: ends the wait for a successor once no other uplink is alive any more."""
        while others:
            with contextlib.suppress(StoreError):
                others &= self._heard(await self._store.send("HGETALL", UPLINKS))
            await asyncio.sleep(LOOK_FOR_OTHERS_EVERY_S)
        self._alone.set()
        for slug, elsewhere in self._elsewhere.items():
            if not elsewhere.is_set():
                elsewhere.set()
                self._owners[slug].refuse_new()

    async def _beat(self) -> None:
        """Says that this uplink is alive, and hears who else is."""
        while True:
            await self._look_around()
            await asyncio.sleep(BEAT_EVERY_S)

    async def _look_around(self) -> None:
        try:
            _, counts, beats = await asyncio.gather(
                self._store.send("HINCRBY", UPLINKS, self.uplink, 1),
                self._store.send("HGETALL", UPLINKS),
                self._store.send("INCR", BEATS),
            )
        except StoreError:
            return
        self._heard(counts)
        before, self._beats = self._beats, beats
        if beats <= before:
            self._metrics.data_lost.inc()
            logger.error(
                "Redis has lost data: it was emptied, or a copy that was behind took its place. Events and"
                " commands that waited in it may be gone; everything else is written anew",
                extra=CHANGE,
            )
        self._metrics.uplinks.set(len(self._members.alive))

    def _heard(self, counts: list[bytes]) -> frozenset[str]:
        """Takes in the beats of all; returns who is alive by them, and takes the dead off the list."""
        found = {member.decode(): int(count) for member, count in pairs(counts)}
        for member in self._members.look(time.monotonic(), found):
            self._store.tell("HDEL", UPLINKS, member)
        return self._members.alive

    async def _keep_leases(self) -> None:
        await self._look_around()  # who is there decides what we take
        while True:
            await self._tend_all()
            self._metrics.leases.set(sum(owner.lease.held for owner in self._owners.values()))
            self._metrics.leases_wanted.set(len(self._owners))
            await asyncio.sleep(RENEW_EVERY_S)

    async def _tend_all(self) -> None:
        """Looks after each lease. One primary of a cluster that is slow to answer keeps back its own only."""
        for slug, owner in self._owners.items():
            if slug not in self._ending and slug not in self._tending:
                self._tending[slug] = asyncio.create_task(self._tend(slug, owner))
        if self._tending:
            await asyncio.wait(self._tending.values(), timeout=SLOW_AFTER_S)
        for slug, task in list(self._tending.items()):
            if task.done():
                del self._tending[slug]

    async def _tend(self, slug: str, owner: InstanceOwner) -> None:
        with self._faults.kept(InstanceLogger(logger, slug), FaultKind.LOOP):
            await owner.tend(ours=self._is_ours(slug), may_move=self._may_move)

    def _may_move(self) -> bool:
        now_s = time.monotonic()
        return now_s - self._members.since_s > SETTLED_AFTER_S and self._moves.admits(now_s)

    async def _measure(self) -> None:
        """Renews what metrics show of each instance, some at a time: the loop has other things to do."""
        while True:
            slugs, states = list(self.instances), list[ServerState]()
            for start in range(0, len(slugs), MEASURED_AT_ONCE):
                found = await asyncio.gather(
                    *(self._measured(slug) for slug in slugs[start : start + MEASURED_AT_ONCE])
                )
                states += filter(None, found)
            self._metrics.stand(states)
            await asyncio.sleep(MEASURE_EVERY_S)

    async def _measured(self, slug: str) -> ServerState | None:
        with self._faults.kept(InstanceLogger(logger, slug), FaultKind.LOOP), contextlib.suppress(StoreError):
            if self._holds(slug):
                self._unowned.forget(slug)
                return await self._owners[slug].measure()
            if (instance := self.instances.get(slug)) and self._is_ours(slug):
                return await self._unowned.measure(instance)
            self._unowned.forget(slug)
        return None

    def _holds(self, slug: str) -> bool:
        return slug in self._owners and self._owners[slug].lease.held

    def _is_ours(self, slug: str) -> bool:
        """Does it belong to this uplink, among those that are there?"""
        return preferred(slug, self._members.alive) == self.uplink

    async def _came_free(self, slugs: Iterable[str]) -> None:
        """Leases were given back, most likely by an uplink that stops: whose are these instances now?"""
        await self._look_around()
        free = [slug for slug in slugs if slug in self._owners and slug not in self._ending]
        await asyncio.gather(*(self._tend(slug, self._owners[slug]) for slug in free))

    async def _listen(self) -> None:
        """Wakes an instance as soon as there is something for it, or it can be had."""
        channels = WAKE_EVENTS, WAKE_RESULTS, WAKE_LEASES
        async for channel, slugs in steadily(lambda: self._store.hints(*channels)):
            if channel == WAKE_LEASES:  # side by side: an uplink that stops frees a hundred
                task = asyncio.create_task(self._came_free(slugs))
                self._taking.add(task)
                task.add_done_callback(self._taking.discard)
                continue
            for slug in slugs:
                with self._faults.kept(InstanceLogger(logger, slug), FaultKind.LISTENER):
                    if owner := self._owners.get(slug):
                        owner.wake(events=channel == WAKE_EVENTS, results=channel == WAKE_RESULTS)
