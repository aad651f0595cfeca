"""One instance in this process: the claim on its lease, and what follows while the lease is ours."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from typing import Any

from services.relay.instances.facts import Facts, ServerCause, facts_of, server_cause
from services.relay.protocol.errors import LostLease, StoreError
from services.relay.protocol.link_states import LinkState
from services.relay.service.clocks import boottime_s
from services.relay.service.faults import FaultKind
from services.relay.service.lifecycle import cancelled
from services.relay.service.logs import CHANGE, InstanceLogger
from services.relay.service.settings import Instance
from services.relay.store.event_stream import MAX_QUEUED_BYTES, MAX_QUEUED_EVENTS
from services.relay.store.lease_renewal import LeaseRenewal
from services.relay.store.leases import RENEW_EVERY_S, Lease, LeaseTimes
from services.uplink.connection.closing_times import LEAVE_WITHIN_S, closing_times, polls_soon
from services.uplink.context import UplinkContext
from services.uplink.ownership.claims import Claim, ClaimState, ClaimStep
from services.uplink.ownership.owned_instance import OwnedInstance
from services.uplink.reporting.alerts.conditions import Sighting
from services.uplink.reporting.metrics import CONTACT
from services.uplink.requests.mod_contact import ContactChange, ModContact

CHECK_ELSEWHERE_EVERY_S = 0.25  # whether Takaro asks another uplink's socket, while ours waits to be closed

SOON_MS = int(RENEW_EVERY_S * 1000)  # a lease that is renewed never comes this close to its end


class InstanceOwner:
    """Takes the lease of the instance, links it, and hands it over, as `claims.py` decides.

    14 fields: what it owns outlives each link, and each task that it starts has to be ended by it.
    """

    def __init__(
        self, instance: Instance, context: UplinkContext, claim: Claim, lease_times: LeaseTimes
    ) -> None:
        self.instance = instance
        self.lease = Lease(
            context.store,
            instance.slug,
            context.uplink,
            lambda step: context.clock_steps.saw(step, context.metrics, boottime_s()),
            lease_times,
        )
        self.contact = ModContact(time.monotonic())
        self._facts: Facts | None = None  # as `measure` read them last
        self._context = context
        self._row = context.metrics.instances.row(instance.slug)
        self._row.shown = lambda: self.lease.held
        self._logger = InstanceLogger(__name__, instance.slug)
        self._claim = claim
        self._lease_lock = asyncio.Lock()  # no renewal while the lease is given back
        self.served = True  # a mod of the instance is let in
        self.in_use: OwnedInstance | None = None  # the link in use
        self._running: dict[OwnedInstance, asyncio.Task[None]] = {}  # with those that are left
        self._handing_over: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()

    async def tend(self, *, preferred: bool, may_move: Callable[[], bool]) -> None:
        """Renews the lease once and does what follows. `preferred`: the instance belongs to this uplink.
        `may_move` is called before an instance of another uplink is wanted."""
        # One renewal at a time, and the steps that follow from it: otherwise two could begin two links.
        async with self._lease_lock:
            if self._claim.state is not ClaimState.STOPPED:
                await self._renew(preferred=preferred, may_move=may_move)
        if self.in_use:
            await self.in_use.status.publish()

    async def _renew(self, *, preferred: bool, may_move: Callable[[], bool]) -> None:
        args = self._claim.next_renewal(time.monotonic(), preferred=preferred)
        want = ""
        if args.want:
            want = "ready" if self.in_use and self.in_use.link.identified else "waiting"
        try:
            renewal = await self.lease.renew(
                take=args.take, dead=args.dead, want=want, ended_identifies=args.ended_identifies
            )
        except StoreError:
            self.contact.store_away = True
            return  # no lost lease: the link goes on, and stops sending by itself when the time is up
        now_s = time.monotonic()
        step = self._claim.renewed(now_s, renewal, preferred=preferred, may_move=may_move)
        self._apply(now_s, renewal)
        self._carry_out(step)
        if (self._claim.owner or args.want) and not self.in_use:
            owned = self.in_use = OwnedInstance(self.instance, self._context, self.lease, self.contact)
            self._running[owned] = asyncio.create_task(self._run(owned))
        if not renewal.mine and 0 <= renewal.ttl_ms < SOON_MS:
            self._run_in_background(self._tend_at_end(renewal.ttl_ms / 1000, preferred, may_move))

    async def _tend_at_end(self, left_s: float, preferred: bool, may_move: Callable[[], bool]) -> None:
        """Renews when the lease of a dead holder ends, also if the instance belongs to another uplink: if
        that one does not take it, our patience begins then."""
        await asyncio.sleep(left_s + 0.01)
        await self.tend(preferred=preferred, may_move=may_move)

    def _carry_out(self, step: ClaimStep) -> None:
        lease_changes = self._context.metrics.lease_changes
        if step in (ClaimStep.BEGIN, ClaimStep.BEGIN_ANEW):
            lease_changes.labels("taken").inc()
        match step:
            case ClaimStep.BEGIN_ANEW | ClaimStep.REPLACE_SOCKET:
                if self.in_use:  # otherwise it is about to get its first socket
                    self.in_use.link.reconnect()
            case ClaimStep.HAND_OVER:
                self._handing_over = asyncio.create_task(self._hand_over())
            case ClaimStep.LOST:
                lease_changes.labels("lost").inc()
                self._logger.warning("another uplink owns this instance now", extra=CHANGE)
                self._leave_in_background(asyncio.Event())

    async def _run(self, owned: OwnedInstance) -> None:
        """Runs a link to its end. If it ends by itself, the next renewal begins another one."""
        try:
            await owned.run()
        except LostLease as error:
            if self.in_use is owned:  # of a link that was left, the renewal that lost the lease was logged
                self._logger.warning("%s", error)
        except Exception as error:
            self._context.metrics.service.faults.caught(self._logger, FaultKind.LOOP, error)
        finally:
            self._running.pop(owned, None)
            if self.in_use is owned:
                self.in_use = None

    async def _hand_over(self) -> None:
        """Hands over to the uplink that the instance belongs to, which has its socket already."""
        if await self._give_back():
            self._context.metrics.lease_changes.labels("handed_over").inc()
            self._logger.info("handed over to another uplink")
        self._leave_in_background(None)

    async def _give_back(self) -> bool:
        """Waits for the receipts of the events under way, then releases the lease. True if it was ours."""
        if self.in_use:
            with self._context.metrics.service.faults.contain(self._logger, FaultKind.LOOP):
                await self.in_use.drain()
        async with self._lease_lock:
            held = self.lease.held
            with contextlib.suppress(StoreError):
                await self.lease.release()
            self._claim.let_go(time.monotonic())
        return held

    async def let_go(self) -> None:
        """Releases the lease for good, so that another uplink can take it. `leave` must follow."""
        self._claim.stop()
        if self._handing_over and not self._handing_over.done():
            await asyncio.wait([self._handing_over])
        elif await self._give_back():
            self._context.metrics.lease_changes.labels("released").inc()

    async def leave(
        self, closed_by_s: float, elsewhere: asyncio.Event | None = None, *, has_successor: bool = True
    ) -> None:
        """Closes the sockets at `closed_by_s` (on time.monotonic()), or earlier: as soon as the requests that
        came over them are answered. May be called again, with an earlier moment.

        `elsewhere` is set when it is known that Takaro asks another socket; None: that is not waited for.
        `has_successor`: another link will take this one's place.
        """
        self.in_use = None
        mod_polls = self.served and polls_soon(self.contact.silent_s)
        how = closing_times(time.monotonic(), closed_by_s, mod_polls=mod_polls, has_successor=has_successor)

        async def close(owned: OwnedInstance, running: asyncio.Task[None]) -> None:
            try:
                with self._context.metrics.service.faults.contain(self._logger, FaultKind.LOOP):
                    await owned.leave(how, elsewhere)
                    await asyncio.wait([running], timeout=max(0.0, how.closed_by_s - time.monotonic()))
            finally:
                await cancelled(running)
                self._running.pop(owned, None)  # if it was cancelled before it began

        checking = asyncio.create_task(self._check_elsewhere(elsewhere)) if elsewhere else None
        try:
            await asyncio.gather(*(close(*link) for link in self._running.items()))
        finally:
            if checking:
                checking.cancel()

    def refuse_new(self) -> None:
        """On links that are left, refuses new requests that the mod would have to answer."""
        for owned in self._running:
            if owned is not self.in_use:
                owned.handler.refused_from_s = time.monotonic()

    def _leave_in_background(self, elsewhere: asyncio.Event | None) -> None:
        """Leaves the link in the background: renewals go on, and may begin a new link."""
        self.in_use = None
        self._run_in_background(self.leave(time.monotonic() + LEAVE_WITHIN_S, elsewhere))

    def _run_in_background(self, work: Coroutine[Any, Any, None]) -> None:
        async def run() -> None:
            with self._context.metrics.service.faults.contain(self._logger, FaultKind.LOOP):
                await work

        task = asyncio.create_task(run())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _check_elsewhere(self, elsewhere: asyncio.Event) -> None:
        while not elsewhere.is_set():
            with contextlib.suppress(StoreError):
                if (self.in_use and self.in_use.link.identified) or await self.lease.identified_elsewhere():
                    elsewhere.set()
            await asyncio.sleep(CHECK_ELSEWHERE_EVERY_S)

    async def measure(self) -> ServerCause | None:
        """Updates the metrics of the instance and returns its state, if it is ours. Raises StoreError."""
        if not self.lease.held:
            return None
        if self.in_use:
            self.in_use.measure(self._row)
        self._facts = facts = await facts_of(self._context.store, self.instance.slug)
        self._context.metrics.show_waiting(self._row, facts)
        return server_cause(facts, has_token=True)

    def sighting(self) -> Sighting | None:
        """The input of the alerts, if the instance is ours and its state is known."""
        facts = self._facts
        if facts is None or not self.lease.held or self.contact.store_away:
            return None
        return Sighting(
            self.instance.name,
            self.contact.silent_s,
            self._ago_s(facts.contact_ms) if facts.contact_ms else self.contact.silent_s or 0.0,
            self.in_use.status.state if self.in_use else "",
            facts.events,
            max(facts.events / MAX_QUEUED_EVENTS, facts.events_bytes / MAX_QUEUED_BYTES),
            self._ago_s(facts.oldest_ms) if facts.oldest_ms else 0.0,
        )

    def _ago_s(self, store_ms: int) -> float:
        """The least time since Redis' clock showed `store_ms`."""
        return self.lease.clock.age(store_ms, boottime_s()).least_s

    def _apply(self, now_s: float, renewal: LeaseRenewal) -> None:
        """Takes in what the renewal found besides the lease. So lost hints do no harm."""
        change = self.contact.read(now_s, renewal.now_ms, renewal.contact_ms or None)
        self._row.set(CONTACT, renewal.contact_ms / 1000)
        if renewal.mine and change is ContactChange.SILENT:
            self._logger.warning(
                "the mod has not been heard of for a minute: is the DayZ server running, and does it reach"
                " the relay?",
                extra=CHANGE,
            )
        if owned := self.in_use:
            linked = renewal.mine and owned.status.state is LinkState.READY
            owned.activity.renewed(renewal.now_ms, renewal.watched if renewal.mine else "", linked=linked)
            if change is ContactChange.RESTARTED:
                self._logger.info("the mod is heard of again: the game server may have started anew")
                owned.mirror.game_restarted(boottime_s())
            owned.renewed(renewal)
