"""Events of one instance go over the socket in use, and over the next one where the last one stopped."""

import asyncio
import logging
import random
import time
from collections.abc import Callable

from services.relay.protocol.errors import LostLease
from services.relay.service.faults import BEGIN_AGAIN_S, FaultKind
from services.relay.service.lifecycle import cancelled
from services.relay.service.logs import InstanceLogger
from services.relay.store.event_stream import EventStream
from services.relay.store.leases import Lease
from services.uplink.connection.backoff import IDENTIFY_AGAIN, RENEWED_AFTER_READY_S
from services.uplink.connection.socket_session import Say, SocketSession
from services.uplink.events.acknowledgements import Acknowledgements
from services.uplink.events.pump import Disowned, EventPump, NoReceipt
from services.uplink.events.receipts import TakenWindow
from services.uplink.reporting.metrics import UplinkMetrics
from services.uplink.requests.mirror.mirror import Mirror

DRAIN_WITHIN_S = 2.5
"""So long the receipts of what was sent are waited for: two pongs, 100 ms (events/receipts.py), and Redis."""


logger = logging.getLogger(__name__)


class Delivery:
    """One pump at a time: its successor reads how far it came."""

    def __init__(
        self,
        stream: EventStream,
        mirror: Mirror,
        lease: Lease,
        metrics: UplinkMetrics,
        say: Say,
        passed: Callable[[TakenWindow], object] = lambda taken: None,
    ) -> None:
        self._logger = InstanceLogger(logger, stream.slug)
        self._stream = stream
        self._acks = Acknowledgements(stream, lease, metrics)
        self._mirror = mirror
        self._lease = lease
        self._metrics = metrics
        self._say = say
        self._passed = passed
        self._session: SocketSession | None = None
        self._changed = asyncio.Event()
        self._finishing = False
        self._times_disowned = 0
        self._pump: EventPump | None = None
        self._pumping: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    def wake(self) -> None:
        """There may be new events."""
        if self._pump:
            self._pump.wake()

    def move_to(self, session: SocketSession) -> None:
        """This socket is the one in use, as soon as what is under way on the one before is receipted."""
        self._session = session
        self._changed.set()
        self._wind_up()

    async def finish(self) -> None:
        """Sends nothing new. Returns when what is under way is receipted, or given up."""
        self._finishing = True
        self._wind_up()
        await self._idle.wait()

    def _wind_up(self) -> None:
        if self._pump and self._pumping:
            self._pump.finish()
            asyncio.get_running_loop().call_later(DRAIN_WITHIN_S, self._pumping.cancel)

    async def run(self) -> None:
        """From the moment the lease is ours. Never returns. Raises LostLease."""
        await self._lease.taken()
        while True:
            self._changed.clear()
            session = self._session
            if session and session.ready and not self._finishing:
                try:
                    await self._deliver(session)
                except LostLease:
                    raise
                except Exception as error:
                    self._metrics.service.faults.caught(self._logger, FaultKind.LOOP, error)
                    await asyncio.sleep(BEGIN_AGAIN_S)
            else:
                await self._changed.wait()

    async def _deliver(self, session: SocketSession) -> None:
        """Until the socket is lost, or another is in use."""
        begun_s = time.monotonic()
        pump = self._pump = EventPump(
            self._stream,
            self._acks,
            self._mirror,
            session.writer,
            self._lease,
            self._metrics,
            self._passed,
        )
        pumping = self._pumping = asyncio.create_task(pump.run())
        self._idle.clear()
        disowned: Disowned | None = None
        try:
            with session.pumped_by(pump):
                await asyncio.wait((pumping, session.ended), return_when=asyncio.FIRST_COMPLETED)
                if pumping.done() and not pumping.cancelled():
                    pumping.result()
        except Disowned as error:
            disowned = error
        except NoReceipt as error:
            session.drop(str(error))
        finally:
            await cancelled(pumping)
            self._pump = self._pumping = None
            self._idle.set()
            cause, repeated = ("disowned", disowned.repeated) if disowned else ("reconnect", pump.unconfirmed)
            self._metrics.resent.labels(cause).inc(repeated)
        if disowned and session is self._session and not self._finishing:
            lasted = time.monotonic() - begun_s > RENEWED_AFTER_READY_S
            self._times_disowned = 0 if lasted else self._times_disowned + 1
            self._say(f"{disowned}; identifying again")
            await session.identify_again(IDENTIFY_AGAIN.delay_s(self._times_disowned, random.uniform))
