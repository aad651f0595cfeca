"""The link of one instance to Takaro: its sockets. A new one is identified before an old one is closed."""

import asyncio
import contextlib
import logging
import random
import time

from services.relay.protocol.errors import LostLease
from services.relay.protocol.link_states import LinkState
from services.relay.service.clocks import until_shared_s
from services.relay.service.logs import InstanceLogger
from services.relay.service.settings import Instance
from services.relay.store.leases import Lease
from services.uplink.connection.backoff import RENEWED_AFTER_READY_S
from services.uplink.connection.closing_times import LEAVE_WITHIN_S
from services.uplink.connection.replacement import Replacement
from services.uplink.connection.socket_session import SocketSession, SocketSettings
from services.uplink.context import UplinkContext
from services.uplink.events.delivery import Delivery
from services.uplink.reporting.link_status import LinkStatus
from services.uplink.requests.handler import RequestHandler

WRITTEN_WITHIN_S = 0.5

logger = logging.getLogger(__name__)


class Link:
    """Everything between one instance and Takaro."""

    def __init__(
        self,
        instance: Instance,
        context: UplinkContext,
        lease: Lease,
        handler: RequestHandler,
        status: LinkStatus,
        delivery: Delivery,
    ) -> None:
        log = InstanceLogger(logger, instance.slug)
        self._settings = SocketSettings(instance, context, lease, handler, status.report, self._changed, log)
        self._times = context.times
        self._status = status
        self._delivery = delivery
        self._used: SocketSession | None = None
        self._newest: SocketSession | None = None
        self._running: dict[SocketSession, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._closing = asyncio.Event()
        self._look = asyncio.Event()
        self._replacement = Replacement(context.metrics, log, context.times)

    @property
    def identified(self) -> bool:
        """Whether there is a socket that Takaro has accepted."""
        return self._used is not None and self._used.ready

    def reconnect(self) -> None:
        """Replaces the socket in use by a new one: Takaro asks the socket that identified last."""
        self._replacement.wanted = True
        self._look.set()

    async def run(self) -> None:
        """Runs until `leave`. Sends events as soon as the lease is ours. Raises LostLease."""
        parts = [asyncio.create_task(part) for part in (self._keep_linked(), self._delivery.run())]
        try:
            ended, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in ended:
                part.result()
        except LostLease:
            self._status.close()  # from now on the new owner shows its own state
            await self.leave(time.monotonic() + LEAVE_WITHIN_S)
            raise
        finally:
            tasks = [*parts, *self._leaving, *self._running.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._status.show(LinkState.STOPPED)

    async def drain(self) -> None:
        """Sends no new events. Returns when Takaro has those under way. Requests are still answered."""
        await self._delivery.finish()
        self._status.show(LinkState.STOPPED)
        self._status.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WRITTEN_WITHIN_S):
                await self._status.publish()

    async def leave(self, cut_short_s: float, elsewhere: asyncio.Event | None = None) -> None:
        """Closes each socket once the requests that came over it are answered, at `cut_short_s` with what is
        known; then `run` ends.

        `elsewhere` is set once Takaro asks another link's socket; None: that is not waited for.
        """
        self._closing.set()
        ending = [self._delivery.finish()]
        for session, task in self._running.items():
            if session.identified_s:
                ending.append(session.leave(cut_short_s, elsewhere if session is self._used else None))
            else:
                task.cancel()
        await asyncio.gather(*ending)

    async def _keep_linked(self) -> None:
        """Dials until a socket is identified, and again when that is lost or due to be replaced."""
        while True:
            await self._pause()
            if self._closing.is_set():
                break
            session = self._dial()
            while session in self._running and not session.identified_s:
                self._look.clear()
                await self._look.wait()
            if not session.identified_s:
                self._failures += 1
                continue
            self._use(session)
            await self._until_due(session)
            if time.monotonic() - session.identified_s > RENEWED_AFTER_READY_S:
                self._failures = 0
            if session.ended.done():
                self._failures += 1
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _pause(self) -> None:
        if self._failures:
            refused = self._newest and self._newest.state is LinkState.REFUSED
            pace = self._times.refused if refused else self._times.reconnect
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pace.delay_s(self._failures, random.uniform)):
                    await self._closing.wait()

    def _dial(self) -> SocketSession:
        state = self._newest.state if self._newest and self._newest.ended.done() else LinkState.WAITING
        session = self._newest = SocketSession(
            self._settings, state if state is LinkState.REFUSED else LinkState.WAITING
        )
        task = self._running[session] = asyncio.create_task(session.run())
        task.add_done_callback(lambda _: self._ended(session))
        return session

    def _ended(self, session: SocketSession) -> None:
        del self._running[session]
        self._look.set()

    def _use(self, session: SocketSession) -> None:
        """Makes a new socket the one in use, and leaves the one before."""
        before, self._used = self._used, session
        self._replacement.begin()
        self._delivery.move_to(session)
        self._changed()
        if before and not before.ended.done():
            self._settings.context.metrics.recycled.inc()
            task = asyncio.create_task(before.leave(time.monotonic() + LEAVE_WITHIN_S))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def _until_due(self, session: SocketSession) -> None:
        """Waits until the socket is lost, or another one is to take its place."""
        while not session.ended.done():
            self._look.clear()
            # An uplink that hands over or stops must not replace the socket: the next owner does.
            ours = self._settings.lease.held and not (self._status.closed or self._closing.is_set())
            if self._replacement.wanted or (ours and self._replacement.due(session)):
                return
            wait_s = until_shared_s(self._times.look_every_s)  # all links wake up together
            timer = asyncio.get_running_loop().call_later(wait_s, self._look.set)
            try:
                await self._look.wait()
            finally:
                timer.cancel()

    def _changed(self) -> None:
        """Shows the state of the socket in use, or of the one that is dialled, after it has changed."""
        self._look.set()
        shown = self._used if self._used and not self._used.ended.done() else self._newest
        if shown:
            self._status.show(shown.state, shown.game_server_id)
