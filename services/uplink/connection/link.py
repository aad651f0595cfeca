"""The link of one instance to Takaro: its sockets. A new one is identified before an old one goes."""

import asyncio
import contextlib
import logging
import random
import time
from datetime import UTC, datetime

from services.relay.protocol.errors import LostLease
from services.relay.protocol.link_states import LinkState
from services.relay.service.logs import InstanceLogger
from services.relay.service.settings import Instance
from services.relay.store.leases import Lease
from services.uplink.connection.backoff import RECONNECT, REFUSED, RENEWED_AFTER_READY_S
from services.uplink.connection.closing_times import ANSWERED_WITHIN_S
from services.uplink.connection.other_client import Finding, OtherClientWatch
from services.uplink.connection.socket_session import SocketSession
from services.uplink.context import UplinkContext
from services.uplink.events.consumer import StreamConsumer
from services.uplink.events.delivery import Delivery
from services.uplink.reporting.link_status import LinkStatus
from services.uplink.requests.handler import RequestHandler

RECYCLE_AFTER_REQUESTS = 3_000
"""Each leaves a listener on the socket at Takaro's end: 1 ms for every frame after 1,000 (protocol.md T3)."""

RECYCLE_AFTER_S = 6 * 3600.0
SPREAD = 0.1
"""By so much the two limits differ from socket to socket: a fleet must not identify at one moment."""

LOOK_EVERY_S = 5.0
WRITTEN_WITHIN_S = 0.5

logger = logging.getLogger(__name__)


class Link:
    """Everything between one instance and Takaro."""

    def __init__(
        self,
        instance: Instance,
        context: UplinkContext,
        consumer: StreamConsumer,
        status: LinkStatus,
        handler: RequestHandler,
        lease: Lease,
    ) -> None:
        self._instance = instance
        self._context = context
        self._status = status
        self._handler = handler
        self._lease = lease
        metrics = self._metrics = context.metrics
        self._logger = InstanceLogger(logger, instance.slug)
        self._deliveries = Delivery(consumer, lease, metrics, status.say)
        self._used: SocketSession | None = None
        self._newest: SocketSession | None = None
        self._talking: dict[SocketSession, asyncio.Task[None]] = {}
        self._seeing_off: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._closing = asyncio.Event()
        self._look = asyncio.Event()
        self._replace = False
        self._most_requests = self._oldest_s = 0.0
        self._other_client = OtherClientWatch()

    @property
    def identified(self) -> bool:
        """Is there a socket right now that Takaro has accepted?"""
        return self._used is not None and self._used.ready

    def reconnect(self) -> None:
        """Has a new socket take the place of the one in use: Takaro asks the newest."""
        self._replace = True
        self._look.set()

    async def run(self) -> None:
        """Until `leave`. Events flow as soon as the lease is ours. Raises LostLease."""
        parts = [asyncio.create_task(part) for part in (self._keep_linked(), self._deliveries.run())]
        try:
            ended, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in ended:
                part.result()
        except LostLease:
            self._status.close()  # from now on it is for the new owner to say
            await self.leave(time.monotonic() + ANSWERED_WITHIN_S)
            raise
        finally:
            tasks = [*parts, *self._seeing_off, *self._talking.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._status.show(LinkState.STOPPED)

    async def drain(self) -> None:
        """Sends no new events; returns when those under way are receipted. Requests go on being answered."""
        await self._deliveries.finish()
        self._status.show(LinkState.STOPPED)
        self._status.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WRITTEN_WITHIN_S):
                await self._status.publish()

    async def leave(self, closed_by_s: float, elsewhere: asyncio.Event | None = None) -> None:
        """Closes each socket once what was asked on it is answered; then `run` ends.

        `elsewhere` is set once Takaro asks a socket that is not of this link, None: that is not waited for.
        """
        self._closing.set()
        await asyncio.gather(
            self._deliveries.finish(),
            *(self._leave(session, closed_by_s, elsewhere) for session in [*self._talking]),
        )

    async def _leave(
        self, session: SocketSession, closed_by_s: float, elsewhere: asyncio.Event | None
    ) -> None:
        if session.settled.done() and session.settled.result():
            await session.leave(closed_by_s, elsewhere if session is self._used else None)
        else:
            self._talking[session].cancel()

    async def _keep_linked(self) -> None:
        """Dials until a socket is identified, and again when it is lost or has had its time."""
        while True:
            await self._pause()
            if self._closing.is_set():
                break
            session = self._dial()
            await asyncio.wait((session.settled, self._talking[session]), return_when=asyncio.FIRST_COMPLETED)
            if not (session.settled.done() and session.settled.result()):
                self._failures += 1
                continue
            self._use(session)
            await self._until_due(session)
            if time.monotonic() - session.identified_s > RENEWED_AFTER_READY_S:
                self._failures = 0
            if session.ended.done():
                self._failures += 1
        await asyncio.gather(*self._talking.values(), return_exceptions=True)

    async def _pause(self) -> None:
        if self._failures:
            pace = REFUSED if self._newest and self._newest.state is LinkState.REFUSED else RECONNECT
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pace.delay_s(self._failures, random.uniform)):
                    await self._closing.wait()

    def _dial(self) -> SocketSession:
        state = self._newest.state if self._newest and self._newest.ended.done() else LinkState.WAITING
        session = self._newest = SocketSession(
            self._instance,
            self._context,
            self._lease,
            self._handler,
            self._status.say,
            self._changed,
            state if state is LinkState.REFUSED else LinkState.WAITING,
        )
        task = self._talking[session] = asyncio.create_task(session.run())
        task.add_done_callback(lambda _: self._talking.pop(session))
        return session

    def _use(self, session: SocketSession) -> None:
        """The newest socket is the one in use; one before it is left."""
        before, self._used = self._used, session
        self._replace = False
        self._most_requests = RECYCLE_AFTER_REQUESTS * random.uniform(1 - SPREAD, 1 + SPREAD)
        self._oldest_s = time.monotonic() + RECYCLE_AFTER_S * random.uniform(1 - SPREAD, 1 + SPREAD)
        self._deliveries.move_to(session)
        self._changed()
        if before and not before.ended.done():
            self._metrics.recycled.inc()
            task = asyncio.create_task(before.leave(time.monotonic() + ANSWERED_WITHIN_S))
            self._seeing_off.add(task)
            task.add_done_callback(self._seeing_off.discard)

    async def _until_due(self, session: SocketSession) -> None:
        """Until the socket is lost, or another is to take its place."""
        while not session.ended.done():
            self._look.clear()
            if self._replace or self._is_due(session):
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._look.wait()

    def _is_due(self, session: SocketSession) -> bool:
        if self._status.closed or self._closing.is_set() or not self._lease.held:
            return False  # others see to it that Takaro has somebody to ask
        now_s = time.monotonic()
        match self._other_client.look(session.identified_s, session.asked_s, now_s):
            case Finding.DEAF:
                return True
            case Finding.USURPED:
                self._metrics.usurped.inc()
                self._logger.warning(
                    "Takaro has asked this server nothing since %s: does an old bridge still run with the "
                    "same identity token? Stop it",
                    _clock_time(now_s - (self._other_client.asked_s or now_s)),
                )
            case Finding.ASKED_AGAIN:
                self._logger.info("Takaro asks this server again")
        return session.requests >= self._most_requests or now_s >= self._oldest_s

    def _changed(self) -> None:
        """A conversation goes on. What is shown is the state of the socket in use, or of the one to come."""
        self._look.set()
        talking = self._used if self._used and not self._used.ended.done() else self._newest
        if talking:
            self._status.show(talking.state, talking.game_server_id)


def _clock_time(ago_s: float) -> str:
    return f"{datetime.fromtimestamp(time.time() - ago_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
