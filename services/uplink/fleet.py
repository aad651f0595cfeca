"""The instances of this uplink among the uplinks of the fleet: who owns what, and what wakes it."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Mapping

from services.relay import stalls
from services.relay.bucket import Bucket
from services.relay.errors import StoreError
from services.relay.keys import BEATS, UPLINKS, WAKE_EVENTS, WAKE_LEASES, WAKE_RESULTS
from services.relay.leases import RENEW_EVERY_S
from services.relay.logs import InstanceLogger
from services.relay.settings import Instance
from services.relay.store import pairs, steadily
from services.uplink.alerts.conditions import Sighting
from services.uplink.berth import Berth
from services.uplink.ownership.members import BEAT_EVERY_S, Members
from services.uplink.ownership.placement import preferred
from services.uplink.surroundings import Surroundings

MOVES_PER_S = 5
"""A joining uplink takes its share little by little."""

MEASURE_EVERY_S = 5.0
MEASURED_AT_ONCE = 50
SLOW_AFTER_S = 0.5
"""The next look at the others does not wait longer: they are trusted for 3.5 s."""

SETTLED_AFTER_S = 3.0
"""Nothing moves while uplinks come and go: a deployment restarts them one after the other."""

logger = logging.getLogger(__name__)


class Fleet:
    """All instances that have what it takes to reach Takaro, as far as they are this uplink's."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self.uplink = surroundings.uplink
        self._store = surroundings.store
        self._metrics = surroundings.metrics
        self._members = Members(self.uplink)
        self._moves = Bucket(MOVES_PER_S, MOVES_PER_S, time.monotonic())
        self._beats = 0
        self._berths: dict[str, Berth] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._taking: set[asyncio.Task[None]] = set()
        self._tending: dict[str, asyncio.Task[None]] = {}

    def update(self, instances: Mapping[str, Instance]) -> None:
        """These are the instances now: new ones get a berth, those that are gone or changed lose theirs."""
        for slug, berth in list(self._berths.items()):
            if instances.get(slug) != berth.instance:
                del self._berths[slug]
                self._end(slug, berth)
        for slug, instance in instances.items():
            if slug in self._berths:
                continue
            if instance.registration_token:
                self._berths[slug] = Berth(instance, self._surroundings)
            else:
                InstanceLogger(logger, slug).warning(
                    "no registration token: events are kept, nothing reaches Takaro yet"
                )

    def _end(self, slug: str, berth: Berth) -> None:
        """Stops a berth; one of the same name begins when it has ended."""
        before = self._ending.get(slug)

        async def end() -> None:
            if before:
                await asyncio.wait([before])
            await berth.stop()
            if slug not in self._berths:
                self._metrics.instances.forget(slug)

        task = self._ending[slug] = asyncio.create_task(end())
        task.add_done_callback(lambda ended: self._ending.get(slug) is ended and self._ending.pop(slug))

    def sightings(self) -> dict[str, Sighting]:
        """The instances that are this uplink's, as far as they can be judged."""
        return {slug: sighting for slug, berth in self._berths.items() if (sighting := berth.sighting())}

    async def run(self) -> None:
        """Never returns; when it is cancelled, links are closed and leases given back."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._beat())
                group.create_task(self._keep_leases())
                group.create_task(stalls.watch(self._surroundings.stalls))
                group.create_task(self._listen())
                group.create_task(self._measure())
        finally:
            with contextlib.suppress(StoreError):
                await self._store.send("HDEL", UPLINKS, self.uplink)
            for task in self._tending.values():
                task.cancel()
            stopping = (berth.stop() for berth in self._berths.values())
            for end in await asyncio.gather(*stopping, *self._ending.values(), return_exceptions=True):
                if isinstance(end, Exception):
                    logger.error("a link did not end cleanly", exc_info=end)

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
        found = {member.decode(): int(count) for member, count in pairs(counts)}
        for member in self._members.look(time.monotonic(), found):
            self._store.tell("HDEL", UPLINKS, member)
        before, self._beats = self._beats, beats
        if beats <= before:
            self._metrics.data_lost.inc()
            logger.error(
                "Redis has lost data: it was emptied, or a copy that was behind took its place. Events and"
                " commands that waited in it may be gone; everything else is written anew"
            )
        self._metrics.uplinks.set(len(self._members.alive))

    async def _keep_leases(self) -> None:
        await self._look_around()  # who is there decides what we take
        while True:
            await self._tend_all()
            self._metrics.leases.set(sum(berth.lease.held for berth in self._berths.values()))
            self._metrics.leases_wanted.set(len(self._berths))
            await asyncio.sleep(RENEW_EVERY_S)

    async def _tend_all(self) -> None:
        """Looks after each lease. One primary of a cluster that is slow to answer keeps back its own only."""
        for slug, berth in self._berths.items():
            if slug not in self._ending and slug not in self._tending:
                self._tending[slug] = asyncio.create_task(self._tend(slug, berth))
        if self._tending:
            await asyncio.wait(self._tending.values(), timeout=SLOW_AFTER_S)
        for slug, task in list(self._tending.items()):
            if task.done():
                del self._tending[slug]
                task.result()

    async def _tend(self, slug: str, berth: Berth) -> None:
        ours = preferred(slug, self._members.alive) == self.uplink
        await berth.tend(ours=ours, may_move=self._may_move)

    def _may_move(self) -> bool:
        now_s = time.monotonic()
        return now_s - self._members.since_s > SETTLED_AFTER_S and self._moves.admits(now_s)

    async def _measure(self) -> None:
        """Renews what metrics show of each instance, some at a time: the loop has other things to do."""
        while True:
            berths = list(self._berths.values())
            for start in range(0, len(berths), MEASURED_AT_ONCE):
                with contextlib.suppress(StoreError):
                    await asyncio.gather(
                        *(berth.measure() for berth in berths[start : start + MEASURED_AT_ONCE])
                    )
            await asyncio.sleep(MEASURE_EVERY_S)

    async def _came_free(self, slugs: Iterable[str]) -> None:
        """Leases were given back, most likely by an uplink that stops: whose are these instances now?"""
        await self._look_around()
        free = [slug for slug in slugs if slug in self._berths and slug not in self._ending]
        await asyncio.gather(*(self._tend(slug, self._berths[slug]) for slug in free))

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
                if berth := self._berths.get(slug):
                    berth.wake(events=channel == WAKE_EVENTS, results=channel == WAKE_RESULTS)
