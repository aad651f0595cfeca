"""The link of one instance to Takaro: its sockets. A new one is identified before an old one is closed."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime

from services.relay.protocol.link_states import LinkState
from services.relay.service.clocks import until_shared_s
from services.relay.service.faults import FaultKind
from services.relay.service.logs import InstanceLogger
from services.relay.service.settings import Instance
from services.relay.store.leases import Lease
from services.uplink.connection.closing_times import LEAVE_WITHIN_S
from services.uplink.connection.link_times import RENEWED_AFTER_READY_S
from services.uplink.connection.replacement import Finding, Replacement
from services.uplink.connection.socket_session import SocketSession, SocketSettings
from services.uplink.context import UplinkContext
from services.uplink.reporting.link_status import LinkStatus
from services.uplink.requests.handler import RequestHandler


class Link:
    """Keeps an instance linked. `use` is called with each new socket once it is identified."""

    def __init__(
        self,
        instance: Instance,
        context: UplinkContext,
        lease: Lease,
        handler: RequestHandler,
        status: LinkStatus,
        use: Callable[[SocketSession], None],
    ) -> None:
        log = InstanceLogger(__name__, instance.slug)
        self._settings = SocketSettings(instance, context, lease, handler, status, self._changed, log)
        self._use_for_events = use
        self._used: SocketSession | None = None
        self._newest: SocketSession | None = None
        self._running: dict[SocketSession, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._closing = asyncio.Event()
        self._check = asyncio.Event()
        self._replacement = Replacement(context.times)

    @property
    def identified(self) -> bool:
        """Whether there is a socket that Takaro has accepted."""
        return self._used is not None and self._used.ready

    def reconnect(self) -> None:
        """Replaces the socket in use by a new one: Takaro asks the socket that identified last."""
        self._replacement.wanted = True
        self._check.set()

    async def run(self) -> None:
        """Keeps a socket identified. Returns after `leave`, when all sockets are closed."""
        try:
            while not await self._has_paused_to_close():
                session = self._dial()
                while session in self._running and not session.identified_s:
                    await self._until_changed()
                if not session.identified_s:
                    self._failures += 1
                    continue
                self._use(session)
                while not (session.ended.done() or self._is_due(session)):
                    # All links wake up together.
                    await self._until_changed(until_shared_s(self._settings.context.times.check_every_s))
                if time.monotonic() - session.identified_s > RENEWED_AFTER_READY_S:
                    self._failures = 0
                if session.ended.done():
                    self._failures += 1
            await asyncio.gather(*self._running.values(), return_exceptions=True)
        finally:
            tasks = [*self._leaving, *self._running.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._settings.status.show(LinkState.STOPPED)

    async def leave(self, cut_short_s: float, elsewhere: asyncio.Event | None = None) -> None:
        """Closes each socket once the requests that came over it are answered, at `cut_short_s` with what is
        known; then `run` ends. `elsewhere` is set once Takaro asks another link's socket."""
        self._closing.set()
        ending = []
        for session, task in self._running.items():
            if session.identified_s:
                ending.append(session.leave(cut_short_s, elsewhere if session is self._used else None))
            else:
                task.cancel()
        await asyncio.gather(*ending)

    async def _has_paused_to_close(self) -> bool:
        """Pauses after a failure. True: this link is being left, and dials no more."""
        if self._failures:
            times = self._settings.context.times
            refused = self._newest and self._newest.state is LinkState.REFUSED
            pace = times.refused if refused else times.reconnect
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pace.delay_s(self._failures, random.uniform)):
                    await self._closing.wait()
        return self._closing.is_set()

    def _dial(self) -> SocketSession:
        before = self._newest
        refused = before and before.ended.done() and before.state is LinkState.REFUSED
        state = LinkState.REFUSED if refused else LinkState.WAITING
        session = self._newest = SocketSession(self._settings, state)
        task = self._running[session] = asyncio.create_task(session.run())
        task.add_done_callback(lambda _: self._ended(session))
        return session

    def _ended(self, session: SocketSession) -> None:
        del self._running[session]
        self._check.set()

    def _use(self, session: SocketSession) -> None:
        """Makes a new socket the one in use, and leaves the one before."""
        before, self._used = self._used, session
        self._replacement.begin(time.monotonic(), random.uniform)
        self._use_for_events(session)
        self._changed()
        if before and not before.ended.done():
            self._settings.context.metrics.recycled.inc()
            task = asyncio.create_task(before.leave(time.monotonic() + LEAVE_WITHIN_S))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    def _is_due(self, session: SocketSession) -> bool:
        """Whether another socket is to take the place of the one in use."""
        settings, replacement = self._settings, self._replacement
        if replacement.wanted:
            return True
        if not settings.lease.held or settings.status.closed or self._closing.is_set():
            return False  # an uplink that hands over or stops must not replace it: the next owner does
        now_s, socket, other_client = time.monotonic(), session.socket, replacement.other_client
        match other_client.check(session.identified_s, socket.asked_s, now_s):
            case Finding.NO_REQUESTS:
                return True
            case Finding.USURPED:
                asked_s = time.time() - now_s + (other_client.asked_s or now_s)
                settings.context.metrics.usurped.inc()
                settings.logger.warning(
                    "Takaro has asked this server nothing since %s: does an old bridge still run with the "
                    "same identity token? Stop it",
                    f"{datetime.fromtimestamp(asked_s, UTC):%Y-%m-%d %H:%M:%S} UTC",
                )
            case Finding.ASKED_AGAIN:
                settings.logger.info("Takaro asks this server again")
        return replacement.is_over(socket.asked_count, now_s)

    async def _until_changed(self, within_s: float | None = None) -> None:
        """Waits until something has changed, no longer than `within_s`."""
        self._check.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._check.wait()

    def _changed(self) -> None:
        """Shows the state of the socket in use, or of the one that is dialled, after it has changed."""
        self._check.set()
        settings = self._settings
        shown = self._used if self._used and not self._used.ended.done() else self._newest
        with settings.context.metrics.service.faults.contain(settings.logger, FaultKind.LISTENER):
            if shown:
                settings.status.show(shown.state, shown.game_server_id)
