"""One socket to Takaro: dials, identifies, reads, and closes when all requests of it are answered."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import CloseCode

from services.relay.protocol.errors import StoreError
from services.relay.protocol.link_states import LinkState
from services.relay.service.faults import FaultKind
from services.relay.service.lifecycle import cancelled
from services.relay.service.logs import InstanceLogger
from services.relay.service.settings import Instance
from services.relay.store.leases import Lease
from services.uplink.connection.states import LinkTrigger, after
from services.uplink.connection.takaro_socket import MAX_UNSENT_BYTES, TakaroSocket
from services.uplink.context import UplinkContext
from services.uplink.events.pump import EventPump
from services.uplink.reporting.link_status import LinkStatus
from services.uplink.requests.handler import RequestHandler
from services.uplink.takaro import frames
from services.uplink.takaro.identify import Identified, IdentifyRefused
from services.uplink.takaro.texts import one_line

OPEN_WITHIN_S = 10.0
CLOSE_WITHIN_S = 1.0
LAST_ROUND_WITHIN_S = 1.0
ANNOUNCE_AGAIN_S = 0.1
PING_EVERY_S = 5.0  # finds a dead path within 15 s; a proxy may answer, so it proves nothing about events
PONG_WITHIN_S = 10.0  # over a slow line it comes behind a large answer, which Takaro takes for as long


@dataclass(frozen=True, slots=True)
class SocketSettings:
    """What all sockets of one link share. `changed` is called after each change of a socket's `state`."""

    instance: Instance
    context: UplinkContext
    lease: Lease
    handler: RequestHandler
    status: LinkStatus
    changed: Callable[[], None]
    logger: InstanceLogger


class SocketSession:
    """One socket, from dialling to its end."""

    socket: TakaroSocket  # set when it is open

    def __init__(self, settings: SocketSettings, state: LinkState = LinkState.WAITING) -> None:
        self.state = state
        self.game_server_id = ""
        self.identified_s = 0.0  # when Takaro last accepted us on it, on time.monotonic(); 0: not yet
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._settings = settings
        self._awaited: dict[str, asyncio.Future[Any]] = {}  # the answer to `identify`, a pong
        self.pump: EventPump | None = None  # gets the pongs and the error frames
        self.pumping: asyncio.Task[None] | None = None
        self._leaving = False
        self._why_dropped = ""

    @property
    def ready(self) -> bool:
        return self.state is LinkState.READY

    async def run(self) -> None:
        """Dials, and returns when the socket has ended. Raises only CancelledError: then the open requests
        are answered with what is known of them."""
        context, settings = self._settings.context, self._settings
        self._move(LinkTrigger.DIALLED)
        context.metrics.connects.inc()
        try:
            async with connect(
                context.takaro_url,
                compression=None,
                proxy=context.proxy,  # never one of the environment's
                open_timeout=OPEN_WITHIN_S,
                close_timeout=CLOSE_WITHIN_S,
                ping_interval=PING_EVERY_S,
                ping_timeout=PONG_WITHIN_S,
                max_size=context.limits.frame_in_bytes,
                # Never reached: a ping and `close` would wait without a limit for a peer that reads nothing.
                write_limit=2 * MAX_UNSENT_BYTES,
            ) as connection:
                self.socket = TakaroSocket(connection)
                self._move(LinkTrigger.OPENED)
                identifying = asyncio.create_task(self._identify_or_end())
                try:
                    await self._read(connection)
                finally:
                    await cancelled(identifying)
                    await settings.handler.cut_short(self.socket)
        except (OSError, TimeoutError, WebSocketException) as error:
            sent = error.sent if isinstance(error, ConnectionClosed) else None
            if sent and sent.code == CloseCode.MESSAGE_TOO_BIG:
                context.metrics.beyond("frame_in_bytes")
            # If we have closed it, there is nothing to tell, or its refusal is told.
            if not (self._leaving or self.state in (LinkState.WAITING, LinkState.REFUSED)):
                where = urlsplit(context.takaro_url).hostname
                why = self._why_dropped or one_line(str(error)) or type(error).__name__
                if isinstance(error, ConnectionClosed) and error.rcvd_then_sent:
                    settings.status.report(f"Takaro at {where} has closed the socket ({why}), trying again")
                else:
                    settings.status.report(f"Takaro at {where} is out of reach ({why}), trying again")
        except Exception as error:
            context.metrics.service.faults.caught(settings.logger, FaultKind.FRAME, error)
            settings.status.report("the socket to Takaro ended by a fault of the relay, trying again")
        finally:
            self.ended.set_result(None)
            if self.state in (LinkState.WAITING, LinkState.REFUSED):
                self._settings.changed()
            else:
                self._move(LinkTrigger.STOPPED if self._leaving else LinkTrigger.LOST)

    # Identify

    async def identify_again(self, after_s: float) -> None:
        """Identifies anew because Takaro has lost our server. Returns when that, or the socket, is over."""
        if not self.ready:
            return
        self._move(LinkTrigger.DISOWNED)
        await asyncio.wait((self.ended,), timeout=after_s)
        if not (self.ended.done() or self._leaving):
            self._move(LinkTrigger.ASKED_AGAIN)
            await self._identify_or_end()

    async def _identify_or_end(self) -> None:
        try:
            await self._identify()
        except Exception as error:
            settings = self._settings
            settings.context.metrics.service.faults.caught(settings.logger, FaultKind.FRAME, error)
            self.drop("the relay failed to identify")  # otherwise it would stay open and unidentified

    async def _identify(self) -> None:
        """Sends `identify`. Closes the socket if Takaro refuses it."""
        settings, instance = self._settings, self._settings.instance
        token = instance.registration_token
        assert token, "an instance without a registration token has no link"
        await settings.context.turn()
        if not await self._announced():
            return
        identity = instance.identity_token.get_secret_value()
        frame = frames.identify(identity, token.get_secret_value(), instance.name)
        within_s = settings.context.times.identified_within_s
        answer: Identified | IdentifyRefused | None = await self._ask("identify", frame, within_s)
        if self.ended.done():
            return
        answer = answer or IdentifyRefused(f"no answer within {within_s:.0f} s")
        if isinstance(answer, IdentifyRefused):
            settings.context.metrics.identify_refused.labels(answer.reason).inc()
            self._move(LinkTrigger.NEVER if answer.remedy else LinkTrigger.NOT_NOW)
            then = answer.remedy or "trying again"
            settings.status.report(
                f"Takaro refuses this server ({answer.text}), {then}", permanent=bool(answer.remedy)
            )
            await settings.handler.cut_short(self.socket)  # of before, if Takaro had lost our server
            await self.socket.close()
        else:
            self.game_server_id = answer.game_server_id
            self.identified_s = time.monotonic()
            self._move(LinkTrigger.IDENTIFIED)
            settings.status.report(f"linked to Takaro, game server {answer.game_server_id}", good=True)
            await self._note_identified()

    async def _announced(self) -> bool:
        """Announces the identify once Redis is there: another uplink may own the instance by now.

        True: send it before any other `await`. False: this socket ends.
        """
        while not (self._leaving or self.ended.done()):
            with contextlib.suppress(StoreError):
                if await self._settings.lease.announce_identify():
                    return not (self._leaving or self.ended.done())
            await asyncio.sleep(ANNOUNCE_AGAIN_S)
        return False

    async def _note_identified(self) -> None:
        """Notes in Redis that Takaro has answered. If it never succeeds, the owner identifies again."""
        while not self.ended.done():
            with contextlib.suppress(StoreError):
                return await self._settings.lease.note_identified()
            await asyncio.sleep(ANNOUNCE_AGAIN_S)

    # Takaro's frames

    async def _read(self, connection: ClientConnection) -> None:
        """Takes Takaro's frames. Raises ConnectionClosed when the socket ends."""
        faults, log = self._settings.context.metrics.service.faults, self._settings.logger
        handler = self._settings.handler
        while True:
            text = await connection.recv(decode=False)  # as bytes: orjson decodes them
            try:  # `contain` costs more
                match frames.read_frame(text):
                    case frames.Request() as request:
                        self.socket.asked(request)
                        handler.take(self.socket, request)
                    case frames.Pong() if self.pump:
                        self.pump.ponged()
                    case frames.Pong() as pong:
                        self._resolve("pong", pong)
                    case frames.ErrorFrame() as refusal:
                        self._take_error(refusal)
                    case Identified() | IdentifyRefused() as answer:
                        self._resolve("identify", answer)
                    case frames.Ping(request_id):
                        self.socket.send(frames.pong(request_id))
            except Exception as error:
                faults.caught(log, FaultKind.FRAME, error)

    def _take_error(self, error: frames.ErrorFrame) -> None:
        if (action := self.socket.asked_action(error.request_id)) is not None:
            self._settings.handler.refused(action, error.text)
            return
        self._settings.logger.warning("Takaro refused something: %s", error.text)
        if self.pump:
            self.pump.refused(error)
        else:  # Takaro answers an identify that it cannot read with an error frame
            self._settings.context.metrics.error_frames.labels("identify").inc()
            self._resolve("identify", IdentifyRefused(error.text))

    async def _ask(self, what: str, frame: bytes, within_s: float) -> Any:
        """Sends a frame, before any `await`, and returns its answer. None: none came, or the socket ended."""
        answered = self._awaited[what] = asyncio.get_running_loop().create_future()
        self.socket.send(frame)
        await asyncio.wait((answered, self.ended), timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        self._awaited.pop(what, None)
        return answered.result() if answered.done() else None

    def _resolve(self, what: str, frame: frames.Frame) -> None:
        if (future := self._awaited.pop(what, None)) and not future.done():
            future.set_result(frame)

    # The end

    def drop(self, why: str) -> None:
        """Ends the socket at once. `why` is shown to the operator."""
        self._why_dropped = why
        self.socket.abort()

    async def leave(self, cut_short_s: float, elsewhere: asyncio.Event | None = None) -> None:
        """Closes an identified socket when no events are under way, Takaro asks another socket, and the
        requests that came over this one are answered. Those that are not answered at `cut_short_s` (on
        time.monotonic()) are answered with what is known of them.

        `elsewhere` is set once Takaro asks another socket; None: it does so already.
        """
        self._leaving = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(cut_short_s - time.monotonic()):
                if self.pumping:
                    await asyncio.wait([self.pumping])
                if elsewhere:
                    await self._until(elsewhere)
                await self._all_answered()
        await self._settings.handler.cut_short(self.socket)
        await self.socket.close()

    async def _all_answered(self) -> None:
        handler = self._settings.handler
        while not self.ended.done():
            if tasks := handler.open_on(self.socket):
                await asyncio.wait((self.ended, *tasks), return_when=asyncio.FIRST_COMPLETED)
                continue
            # When Takaro answers this ping, all that it asked here before it knew of another socket is here.
            await self._ask("pong", frames.PING, LAST_ROUND_WITHIN_S)
            if not handler.open_on(self.socket):
                return

    async def _until(self, event: asyncio.Event) -> None:
        """Waits for `event`, or for the end of the socket."""
        waiting = asyncio.create_task(event.wait())
        try:
            await asyncio.wait((waiting, self.ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()

    def _move(self, trigger: LinkTrigger) -> None:
        self.state = after(self.state, trigger)
        self._settings.changed()
