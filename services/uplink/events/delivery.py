"""Delivers the events of one instance over the socket in use. The next socket goes on where it stopped."""

import asyncio
import random
import time

from services.relay.protocol.errors import LostLease
from services.relay.service.faults import FaultKind
from services.relay.service.lifecycle import cancelled
from services.uplink.connection.link_times import RENEWED_AFTER_READY_S, LinkTimes
from services.uplink.connection.socket_session import SocketSession
from services.uplink.events.consumer import StreamConsumer
from services.uplink.events.pump import Disowned, EventPump, NoReceipt
from services.uplink.reporting.link_status import LinkStatus


class Delivery:
    """Runs one pump at a time, on the socket in use."""

    def __init__(self, consumer: StreamConsumer, status: LinkStatus, times: LinkTimes) -> None:
        self._consumer = consumer
        self._metrics = consumer.metrics
        self._status = status
        self._times = times
        self._session: SocketSession | None = None
        self._changed = asyncio.Event()
        self._finishing = False
        self._times_disowned = 0
        self._pump: EventPump | None = None
        self._pumping: asyncio.Task[None] | None = None

    def move_to(self, session: SocketSession) -> None:
        """Uses this socket as soon as the events under way on the last one are acknowledged."""
        self._session = session
        self._changed.set()
        self._wind_up()

    async def finish(self) -> None:
        """Sends no new events. Returns when those under way are acknowledged, or given up."""
        self._finishing = True
        self._wind_up()
        if self._pumping:
            await asyncio.wait([self._pumping])

    def _wind_up(self) -> None:
        if self._pump and self._pumping:
            self._pump.finish()
            asyncio.get_running_loop().call_later(self._times.drain_within_s, self._pumping.cancel)

    async def run(self) -> None:
        """Delivers from the moment at which the lease is ours. Never returns. Raises LostLease."""
        await self._consumer.lease.until_held()
        while True:
            self._changed.clear()
            session = self._session
            if session and session.ready and not self._finishing:
                try:
                    await self._deliver(session)
                except LostLease:
                    raise
                except Exception as error:
                    self._metrics.service.faults.caught(self._consumer.logger, FaultKind.LOOP, error)
                    await asyncio.sleep(self._times.begin_again_s)
            else:
                await self._changed.wait()

    async def _deliver(self, session: SocketSession) -> None:
        """Delivers until the socket is lost, or another one is in use."""
        begun_s = time.monotonic()
        pump = self._pump = EventPump(self._consumer, session.socket, self._times)
        pumping = self._pumping = asyncio.create_task(pump.run())
        session.pump, session.pumping = pump, pumping
        disowned: Disowned | None = None
        try:
            await asyncio.wait((pumping, session.ended), return_when=asyncio.FIRST_COMPLETED)
            if pumping.done() and not pumping.cancelled():
                pumping.result()
        except Disowned as error:
            disowned = error
        except NoReceipt as error:
            session.drop(str(error))
        finally:
            session.pump = None
            await cancelled(pumping)
            self._pump = self._pumping = None
            cause, repeated = (
                ("disowned", disowned.repeated) if disowned else ("reconnect", pump.receipts.unproven)
            )
            self._metrics.resent.labels(cause).inc(repeated)
        if disowned and session is self._session and not self._finishing:
            lasted = time.monotonic() - begun_s > RENEWED_AFTER_READY_S
            self._times_disowned = 0 if lasted else self._times_disowned + 1
            self._status.report(f"{disowned}; identifying again")
            delay_s = self._times.identify_again.delay_s(self._times_disowned, random.uniform)
            await session.identify_again(delay_s)
