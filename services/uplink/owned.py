"""Everything that goes on for one instance while it is ours, and while we stand by for it."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from typing import Any

from services.relay.clocks import wall_s
from services.relay.command_stream import CommandStream
from services.relay.errors import StoreError
from services.relay.event_stream import EventStream
from services.relay.faults import FaultKind
from services.relay.instances.series import Row
from services.relay.instances.state import InstanceState
from services.relay.leases import Lease
from services.relay.logs import InstanceLogger
from services.relay.running import cancelled
from services.relay.settings import Instance
from services.relay.vocabulary import Action
from services.uplink.asking import Asking
from services.uplink.desk import Desk
from services.uplink.leaving import Leaving
from services.uplink.link import Link
from services.uplink.metrics import MIRROR_AGE, MIRROR_PARTS, PLAYERS
from services.uplink.mirror.keeper import Keeper
from services.uplink.mirror.state import Mirror
from services.uplink.passing import PassingBy
from services.uplink.reads import Reads
from services.uplink.shown import Shown
from services.uplink.surroundings import Surroundings
from services.uplink.takaro.contact import Contact

SAVED_WITHIN_S = 0.5


logger = logging.getLogger(__name__)


class OwnedInstance:
    """The link of one instance to Takaro, and what answers Takaro's requests over it."""

    def __init__(
        self, instance: Instance, surroundings: Surroundings, lease: Lease, contact: Contact
    ) -> None:
        store, metrics, limits = surroundings.store, surroundings.metrics, surroundings.limits
        state = InstanceState(store, instance.slug)
        self._faults = metrics.service.faults
        self._logger = InstanceLogger(logger, instance.slug)
        self._mirror = Mirror(limits, metrics.beyond)
        self._keeper = Keeper(store, instance.slug, lease, self._mirror, metrics)
        commands = CommandStream(store, instance.slug, limits.open_commands)
        self._passing = PassingBy(store, instance.slug)
        self._asking = Asking(commands, contact, lease, metrics, surroundings.stalls, self._passing.command)
        self._reads = Reads(
            self._asking, self._mirror, self._keeper, state, contact, metrics, surroundings.reads_per_s
        )
        desk = self._desk = Desk(
            instance.slug,
            self._asking,
            self._reads,
            self._mirror,
            contact,
            metrics,
            limits.frame_out_bytes,
        )
        events = EventStream(store, instance.slug)
        self._shown = Shown(instance.slug, state, lease, metrics)
        self._link = Link(
            instance, surroundings, events, self._shown, desk, self._mirror, lease, self._passing.taken
        )

    async def run(self) -> None:
        """Links and answers at once, until `leave`; events flow while the lease is ours. Raises LostLease."""
        parts: list[Coroutine[Any, Any, None]] = [
            self._link.run(),
            *(
                self._faults.kept_going(self._logger, loop)
                for loop in (self._asking.pass_results_on, self._reads.run, self._keeper.run)
            ),
        ]
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            for task in tasks:
                await cancelled(task)
            self._desk.close()
            self._passing.close()

    @property
    def identified(self) -> bool:
        """Is there a socket right now that Takaro has accepted?"""
        return self._link.identified

    def reconnect(self) -> None:
        """Has a new socket take the place of the one in use: Takaro may ask one that is gone."""
        self._link.reconnect()

    async def drain(self) -> None:
        """Sends no new events; returns when those under way are receipted. Then the lease may go."""
        await self._link.drain()
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(SAVED_WITHIN_S):
                await self._keeper.save()

    def refuse_new(self) -> None:
        """New requests that the mod would have to answer are refused: nobody could wait for them."""
        self._desk.leave(time.monotonic())

    async def leave(self, leaving: Leaving, elsewhere: asyncio.Event | None = None) -> None:
        """Closes the sockets once what was asked on them is answered, by the moments of `leaving`; then `run`
        ends. `elsewhere` is set once Takaro asks another socket, None: that is not waited for."""
        self._desk.leave(leaving.refused_from_s)
        ending = asyncio.create_task(self._end_commands(leaving))
        try:
            await self._link.leave(leaving.closed_by_s, elsewhere)
        finally:
            await cancelled(ending)

    async def _end_commands(self, leaving: Leaving) -> None:
        with self._faults.kept(self._logger, FaultKind.LOOP):
            await asyncio.gather(self._asking.leave(leaving), self._reads.leave(leaving))

    def wake(self, *, events: bool, results: bool) -> None:
        """There may be something to fetch."""
        if events:
            self._link.wake()
        if results:
            self._asking.wake()

    def looked(self, now_ms: int, watched: str) -> None:
        """It is that late on Redis' clock, and somebody watches, or "" for nobody."""
        self._passing.looked(now_ms, watched)

    def game_restarted(self) -> None:
        """The game server was away and is back: it starts without players."""
        self._mirror.restarted(wall_s())

    async def publish(self) -> None:
        """Writes down the link's state if that could not be done when it changed."""
        await self._shown.publish()

    def measure(self, row: Row) -> None:
        """Puts what is known of the game into the metrics' row of this instance."""
        row.set(PLAYERS, self._mirror.online)
        for part, action in MIRROR_PARTS.items():
            row.set(MIRROR_AGE, self._age_s(action), part)

    def _age_s(self, action: Action) -> float:
        oldest_s = self._mirror.oldest_s(action)
        return -1.0 if oldest_s is None else max(0.0, wall_s() - oldest_s)
