"""Tells the other uplinks each second that this one is alive, and finds out which of them are."""

import asyncio
import contextlib
import logging
import time

from services.relay.protocol.errors import StoreError
from services.relay.protocol.keys import BEATS, UPLINKS
from services.relay.service.clocks import until_shared_s
from services.relay.service.logs import CHANGE
from services.relay.store.calls import ignore_error
from services.relay.store.client import Store, pairs
from services.uplink.ownership.members import Members
from services.uplink.reporting.metrics import UplinkMetrics

SIGN_OFF_WITHIN_S = 0.5
READ_OTHERS_EVERY_S = 0.25


logger = logging.getLogger(__name__)


class Heartbeat:
    """The life of this uplink among the uplinks of one store, which are its `members`."""

    def __init__(self, store: Store, metrics: UplinkMetrics, members: Members, beat_every_s: float) -> None:
        self.members = members
        self._beat_every_s = beat_every_s
        self._store = store
        self._metrics = metrics
        self._beats = 0

    async def run(self) -> None:
        """Beats each second. Never returns."""
        while True:
            await self.beat()
            await asyncio.sleep(until_shared_s(self._beat_every_s))

    async def beat(self) -> None:
        """Counts one beat and reads those of the others. Does nothing while Redis is away."""
        try:
            _, counts, beats = await asyncio.gather(
                self._store.write("HINCRBY", UPLINKS, self.members.own, 1),
                self._store.send("HGETALL", UPLINKS),
                self._store.write("INCR", BEATS),
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
        self._metrics.uplinks.set(len(self.members.alive))

    async def sign_off(self) -> frozenset[str]:
        """This uplink stops. Returns the other uplinks that are alive."""
        signing_off = self._store.send("HDEL", UPLINKS, self.members.own)
        signing_off.add_done_callback(ignore_error)
        # Not cancelled when the time is up: a cancelled call is not sent, and this one has to be.
        await asyncio.wait([signing_off], timeout=SIGN_OFF_WITHIN_S)
        return self.members.alive - {self.members.own}

    async def until_alone(self, others: frozenset[str]) -> None:
        """Waits until none of these uplinks is alive any more."""
        while others:
            with contextlib.suppress(StoreError):  # they may be alive
                others &= self._heard(await self._store.send("HGETALL", UPLINKS))
            await asyncio.sleep(READ_OTHERS_EVERY_S)

    def _heard(self, counts: list[bytes]) -> frozenset[str]:
        """Takes in the beats of all uplinks, and deletes dead uplinks. Returns those that are alive."""
        found = {member.decode(): int(count) for member, count in pairs(counts)}
        for member in self.members.read(time.monotonic(), found):
            self._store.send_unawaited("HDEL", UPLINKS, member)
        return self.members.alive
