"""One socket to Takaro: dialled, identified, read, and left when what was asked on it is answered."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK, WebSocketException
from websockets.frames import CloseCode

from services.relay.protocol.errors import StoreError
from services.relay.protocol.link_states import LinkState
from services.relay.service.faults import FaultKind
from services.relay.service.lifecycle import cancelled
from services.relay.service.logs import InstanceLogger
from services.relay.service.settings import Instance
from services.relay.store.leases import Lease
from services.uplink.connection.closing_times import LAST_WORDS_S
from services.uplink.connection.socket_writer import SocketWriter
from services.uplink.connection.states import LinkTrigger, after
from services.uplink.context import UplinkContext
from services.uplink.events.pump import EventPump
from services.uplink.requests.handler import RequestHandler
from services.uplink.takaro import frames
from services.uplink.takaro.frames import IdentifyRefused
from services.uplink.takaro.recent_requests import RecentRequests

OPEN_WITHIN_S = 10.0
IDENTIFIED_WITHIN_S = 15.0
CLOSE_WITHIN_S = 1.0
LAST_ROUND_WITHIN_S = 1.0
ANNOUNCE_AGAIN_S = 0.1
PING_EVERY_S = 5.0
"""A WebSocket ping: finds a dead path within 10 s. It says nothing of events, a proxy may answer it."""

logger = logging.getLogger(__name__)


class Say(Protocol):
    """Tells the operator, once for each change. `good`: nothing is wrong now."""

    def __call__(self, text: str, *, good: bool = False, permanent: bool = False) -> None: ...


class SocketSession:
    """What is said over one socket. `changed` is called after each change of `state`."""

    def __init__(
        self,
        instance: Instance,
        context: UplinkContext,
        lease: Lease,
        handler: RequestHandler,
        say: Say,
        changed: Callable[[], None],
        state: LinkState = LinkState.WAITING,
    ) -> None:
        self.state = state
        self.game_server_id = ""
        self.identified_s = 0.0
        self.requests = 0
        self.asked_s: float | None = None
        """When Takaro asked last, on time.monotonic()."""
        loop = asyncio.get_running_loop()
        self.settled: asyncio.Future[bool] = loop.create_future()
        """Did Takaro accept us on this socket?"""
        self.ended: asyncio.Future[None] = loop.create_future()
        self._instance = instance
        self._context = context
        self._lease = lease
        self._handler = handler
        self._metrics = context.metrics
        self._faults = context.metrics.service.faults
        self._say = say
        self._logger = InstanceLogger(logger, instance.slug)
        self._changed = changed
        self._socket: ClientConnection | None = None
        self._why_dropped = ""
        self._closing = False
        self._answer: asyncio.Future[frames.Identified | IdentifyRefused | None] | None = None
        self._pump: EventPump | None = None
        self._unpumped = asyncio.Event()
        self._unpumped.set()
        self._open_requests: set[asyncio.Task[None]] = set()
        self._asked = RecentRequests()
        self._answers_refused: set[str] = set()  # actions
        self._last_round: asyncio.Event | None = None

    @property
    def ready(self) -> bool:
        return self.state is LinkState.READY

    async def run(self) -> None:
        """From dialling to the end of the socket. Raises nothing, but when it is cancelled: then what is open
        is answered with what is known of it."""
        self._move(LinkTrigger.DIALLED)
        self._metrics.connects.inc()
        try:
            async with connect(
                self._context.takaro_url,
                compression=None,
                proxy=self._context.proxy,  # never one of the environment's
                open_timeout=OPEN_WITHIN_S,
                close_timeout=CLOSE_WITHIN_S,
                ping_interval=PING_EVERY_S,
                ping_timeout=PING_EVERY_S,
                max_size=self._context.limits.frame_in_bytes,
            ) as socket:
                self._socket, self.writer = socket, SocketWriter(socket)
                self._move(LinkTrigger.OPENED)
                identifying = asyncio.create_task(self._identify())
                identifying.add_done_callback(self._identify_ended)
                try:
                    await self._read(socket)
                finally:
                    await cancelled(identifying)
                    await self._cut_short()
        except (OSError, TimeoutError, WebSocketException) as error:
            sent = error.sent if isinstance(error, ConnectionClosed) else None
            if sent and sent.code == CloseCode.MESSAGE_TOO_BIG:
                self._metrics.beyond("frame_in_bytes")
            if not self._closing:
                where = urlsplit(self._context.takaro_url).hostname
                why = self._why_dropped or _words(error)
                self._say(f"Takaro at {where} is out of reach ({why}), trying again")
        except Exception as error:
            self._faults.caught(self._logger, FaultKind.FRAME, error)
            self._say("the socket to Takaro ended by a fault of the relay, trying again")
        finally:
            self._end()

    def _end(self) -> None:
        self.ended.set_result(None)
        if not self.settled.done():
            self.settled.set_result(False)
        if self._answer and not self._answer.done():
            self._answer.set_result(None)
        if self.state not in (LinkState.WAITING, LinkState.REFUSED):
            self._move(LinkTrigger.STOPPED if self._closing else LinkTrigger.LOST)
        self._tell()

    # Identify

    async def identify_again(self, after_s: float) -> None:
        """Takaro has lost our server. Returns when it has it again, or when this socket is gone."""
        if not self.ready:
            return
        self._move(LinkTrigger.DISOWNED)
        await asyncio.wait((self.ended,), timeout=after_s)
        if not (self.ended.done() or self._closing):
            self._move(LinkTrigger.ASKED_AGAIN)
            await self._identify()

    async def _identify(self) -> None:
        """Says who we are. A socket on which Takaro does not take it is closed."""
        token = self._instance.registration_token
        assert token, "an instance without a registration token has no link"
        await self._context.turn()
        if not await self._announced():
            return
        answer = await self._answer_to(
            frames.identify(
                self._instance.identity_token.get_secret_value(),
                token.get_secret_value(),
                self._instance.name,
            )
        )
        if answer is None or self.ended.done():
            return
        if isinstance(answer, IdentifyRefused):
            self._move(LinkTrigger.NEVER if answer.permanent else LinkTrigger.NOT_NOW)
            then = answer.remedy or "trying again"
            self._say(f"Takaro refuses this server ({answer.text}), {then}", permanent=answer.permanent)
            assert self._socket
            await self._socket.close()
        else:
            self.game_server_id = answer.game_server_id
            self.identified_s = time.monotonic()
            self._move(LinkTrigger.IDENTIFIED)
            self._say(f"linked to Takaro, game server {answer.game_server_id}", good=True)
            if not self.settled.done():
                self.settled.set_result(True)
            await self._note_identified()

    async def _announced(self) -> bool:
        """Announces the identify. True: send it before any other `await`. False: this socket is left.

        Waits for as long as Redis is away: another uplink may own the instance by now.
        """
        while not (self._closing or self.ended.done()):
            with contextlib.suppress(StoreError):
                if await self._lease.announce_identify():
                    return not self._closing
            await asyncio.sleep(ANNOUNCE_AGAIN_S)
        return False

    async def _note_identified(self) -> None:
        """Tries until this socket has ended: then the doubt stays, and the owner identifies again."""
        while not self.ended.done():
            with contextlib.suppress(StoreError):
                return await self._lease.note_identified()
            await asyncio.sleep(ANNOUNCE_AGAIN_S)

    def _identify_ended(self, identifying: asyncio.Task[None]) -> None:
        """A fault of ours must not leave a socket that nobody identifies."""
        if not identifying.cancelled() and (error := identifying.exception()):
            assert isinstance(error, Exception)
            self._faults.caught(self._logger, FaultKind.FRAME, error)
            self.drop("the relay failed to identify")

    async def _answer_to(self, identify: bytes) -> frames.Identified | IdentifyRefused | None:
        """None: the socket is gone."""
        if self.ended.done():
            return None
        self._answer = asyncio.get_running_loop().create_future()
        self.writer.send(identify)
        try:
            async with asyncio.timeout(IDENTIFIED_WITHIN_S):
                return await self._answer
        except TimeoutError:
            return IdentifyRefused(f"no answer within {IDENTIFIED_WITHIN_S:.0f} s")
        finally:
            self._answer = None

    # What Takaro says

    async def _read(self, socket: ClientConnection) -> None:
        """Sorts what Takaro says. Ends when the socket does."""
        with contextlib.suppress(ConnectionClosedOK):
            while True:
                text = await socket.recv(decode=False)  # as bytes: nothing here needs them decoded twice
                with self._faults.kept(self._logger, FaultKind.FRAME):
                    self._hear(frames.read_frame(text))

    def _hear(self, frame: frames.Frame) -> None:
        match frame:
            case frames.Request() as request:
                self._take(request)
            case frames.Pong():
                if self._pump:
                    self._pump.ponged()
                elif self._last_round:
                    self._last_round.set()
            case frames.ErrorFrame() as error:
                self._refused(error)
            case frames.Identified() | IdentifyRefused() as answer:
                self._answered(answer)
            case frames.Ping(request_id):
                self.writer.send(frames.pong(request_id))

    def _take(self, request: frames.Request) -> None:
        self.requests += 1
        self.asked_s = time.monotonic()
        self._asked.add(request.request_id, request.action)
        if work := self._handler.take(self.writer, request):
            self._open_requests.add(work)
            work.add_done_callback(self._open_requests.discard)

    def _refused(self, error: frames.ErrorFrame) -> None:
        if (action := self._asked.action_of(error.request_id)) is not None:
            self._answer_refused(action, error.text)
            return
        self._logger.warning("Takaro refused something: %s", error.text)
        if self._pump:
            self._pump.refused(error)
        else:  # Takaro answers an identify it cannot read with an error frame
            self._metrics.error_frames.labels("identify").inc()
            self._answered(IdentifyRefused(error.text))

    def _answer_refused(self, action: str, text: str) -> None:
        """Takaro has no use for an answer of ours. Logged once for each action: it asks again each 30 s."""
        self._metrics.error_frames.labels("answer").inc()
        if action not in self._answers_refused:
            self._answers_refused.add(action)
            self._logger.warning("Takaro cannot use the answer to %s: %s", action, text)

    def _answered(self, answer: frames.Identified | IdentifyRefused) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_result(answer)

    # Its pump, and its end

    @contextlib.contextmanager
    def pumped_by(self, pump: EventPump) -> Iterator[None]:
        """Meanwhile `pump` hears of pongs and errors."""
        self._pump = pump
        self._unpumped.clear()
        try:
            yield
        finally:
            self._pump = None
            self._unpumped.set()

    def drop(self, why: str) -> None:
        """This socket is of no use any more."""
        self._why_dropped = why
        if self._socket:
            self._socket.transport.abort()

    async def leave(self, closed_by_s: float, elsewhere: asyncio.Event | None = None) -> None:
        """Closes an identified socket at `closed_by_s` (on time.monotonic()), or earlier: when no events are
        under way, Takaro asks another socket, and all that was asked on this one is answered.

        `elsewhere` is set once Takaro asks another one, None if it does already. What is not answered in time
        is answered with what is known of it.
        """
        self._closing = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(closed_by_s - LAST_WORDS_S - time.monotonic()):
                await self._unpumped.wait()
                if elsewhere:
                    await self._until(elsewhere)
                await self._all_answered()
        await self._cut_short()
        if self._socket:
            await self._socket.close()

    async def _all_answered(self) -> None:
        while not self.ended.done():
            if self._open_requests:
                await asyncio.wait((self.ended, *self._open_requests), return_when=asyncio.FIRST_COMPLETED)
                continue
            # What Takaro asked here before it knew of another socket is here when it answers a ping.
            last_round = self._last_round = asyncio.Event()
            self.writer.send(frames.ping())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_ROUND_WITHIN_S):
                    await self._until(last_round)
            if not self._open_requests:
                return

    async def _until(self, event: asyncio.Event) -> None:
        """Waits for `event`, or for the end of the socket."""
        waiting = asyncio.ensure_future(event.wait())
        try:
            await asyncio.wait((waiting, self.ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()

    async def _cut_short(self) -> None:
        """Whatever is still open is answered now, with what is known of it, and written."""
        if not self.writer.open:
            return
        if works := list(self._open_requests):
            for work in works:
                work.cancel()
            await asyncio.wait(works, timeout=LAST_WORDS_S)
        self.writer.flush()

    def _move(self, trigger: LinkTrigger) -> None:
        self.state = after(self.state, trigger)
        self._tell()

    def _tell(self) -> None:
        with self._faults.kept(self._logger, FaultKind.LISTENER):
            self._changed()


def _words(error: Exception) -> str:
    return frames.one_line(str(error)) or type(error).__name__
