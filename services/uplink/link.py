"""The link of one instance to Takaro: connected, identified, kept up, for as long as we own the instance."""

import asyncio
import logging
import random
import time

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from services.relay.errors import StoreError
from services.relay.event_stream import EventStream
from services.relay.instance_state import InstanceState, LinkInfo
from services.relay.leases import Lease
from services.relay.logs import InstanceLogger
from services.relay.settings import Instance
from services.uplink.acks import Acks
from services.uplink.desk import Desk
from services.uplink.event_pump import Disowned, EventPump, NoReceipt
from services.uplink.metrics import Metrics
from services.uplink.mirror.state import Mirror
from services.uplink.takaro import frames
from services.uplink.takaro.backoff import IDENTIFY_AGAIN, RECONNECT, REFUSED, RENEWED_AFTER_READY_S
from services.uplink.takaro.frames import IdentifyRefused
from services.uplink.takaro.session import Happening, State, after
from services.uplink.wire import Wire

OPEN_WITHIN_S = 10.0
IDENTIFIED_WITHIN_S = 15.0
CLOSE_WITHIN_S = 1.0
PING_EVERY_S = 5.0
"""A WebSocket ping: finds a dead path within 10 s. It says nothing of events, a proxy may answer it."""

MAX_FRAME_BYTES = 4 * 1024 * 1024

logger = logging.getLogger(__name__)


class Link:
    """Everything between one instance and Takaro."""

    def __init__(
        self,
        instance: Instance,
        takaro_url: str,
        stream: EventStream,
        state: InstanceState,
        desk: Desk,
        mirror: Mirror,
        lease: Lease,
        metrics: Metrics,
    ) -> None:
        self._instance = instance
        self._url = takaro_url
        self._stream = stream
        self._acks = Acks(stream, lease)
        self._info = state
        self._desk = desk
        self._mirror = mirror
        self._lease = lease
        self._metrics = metrics
        self._logger = InstanceLogger(logger, instance.slug)
        self._state = State.WAITING
        self._failures = 0
        self._ready_since_s: float | None = None
        self._finishing = False
        self._said = ""
        self._game_server_id = ""
        self._published = True
        self._publishing: asyncio.Task[None] | None = None
        self._pump: EventPump | None = None
        self._identified: asyncio.Future[frames.Identified | IdentifyRefused] | None = None

    def wake(self) -> None:
        """There may be new events."""
        if self._pump:
            self._pump.wake()

    def finish(self) -> bool:
        """Go no further than what is under way. True: `run` returns once that is receipted."""
        self._finishing = True
        if self._pump:
            self._pump.finish()
        return self._pump is not None

    @property
    def identified(self) -> bool:
        """Is there a socket that Takaro has accepted?"""
        return self._state is State.READY

    async def wait_finished(self, within_s: float) -> None:
        """Until what is under way is receipted."""
        end_s = time.monotonic() + within_s
        while self._pump and time.monotonic() < end_s:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def run(self) -> None:
        """Until `finish`. Raises LostLease; ends cleanly when cancelled."""
        try:
            while not self._finishing:
                pace = REFUSED if self._state is State.REFUSED else RECONNECT
                await asyncio.sleep(pace.delay_s(self._failures, random.uniform) if self._failures else 0)
                await self._attempt()
        finally:
            self._move(Happening.STOPPED)

    async def _attempt(self) -> None:
        """One socket, from dialling to its end."""
        self._move(Happening.DIALLED)
        self._metrics.connects.inc()
        try:
            async with connect(
                self._url,
                compression=None,
                proxy=None,
                open_timeout=OPEN_WITHIN_S,
                close_timeout=CLOSE_WITHIN_S,
                ping_interval=PING_EVERY_S,
                ping_timeout=PING_EVERY_S,
                max_size=MAX_FRAME_BYTES,
            ) as socket:
                self._move(Happening.OPENED)
                await self._converse(socket)
        except (OSError, TimeoutError, WebSocketException, NoReceipt) as error:
            self._say(f"Takaro is out of reach ({_words(error)}), trying again")
        self._failures += 1
        if self._state not in (State.WAITING, State.REFUSED):
            self._move(Happening.LOST)

    async def _converse(self, socket: ClientConnection) -> None:
        """Until the socket is lost, or identify fails."""
        wire = Wire(socket)
        reader = asyncio.create_task(self._read(socket, wire))
        talker = asyncio.create_task(self._talk(wire))
        try:
            await asyncio.wait((reader, talker), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reader, talker):
                task.cancel()
            outcomes = await asyncio.gather(reader, talker, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _talk(self, wire: Wire) -> None:
        """Identifies and pumps events until told to finish; identifies again when Takaro has lost us."""
        times_disowned = 0
        while await self._identify(wire):
            await self._lease.taken()
            since_s = time.monotonic()
            pump = self._pump = EventPump(
                self._stream, self._acks, self._mirror, wire, self._lease, self._metrics
            )
            try:
                await pump.run()
                return
            except Disowned as error:
                times_disowned += 1
                if time.monotonic() - since_s > RENEWED_AFTER_READY_S:
                    times_disowned = 0
                self._metrics.resent.labels("disowned").inc(error.repeated)
                self._move(Happening.DISOWNED)
                self._say(f"{error}; identifying again")
            except BaseException:
                self._metrics.resent.labels("reconnect").inc(pump.unconfirmed)
                raise
            finally:
                self._pump = None
            await asyncio.sleep(IDENTIFY_AGAIN.delay_s(times_disowned, random.uniform))
            self._move(Happening.ASKED_AGAIN)

    async def _identify(self, wire: Wire) -> bool:
        """True when Takaro knows us; else the state says whether asking again soon makes sense."""
        token = self._instance.registration_token
        assert token, "an instance without a registration token has no link"
        self._identified = asyncio.get_running_loop().create_future()
        identity = self._instance.identity_token.get_secret_value()
        wire.send(frames.identify(identity, token.get_secret_value(), self._instance.name))
        try:
            async with asyncio.timeout(IDENTIFIED_WITHIN_S):
                answer = await self._identified
        except TimeoutError:
            answer = IdentifyRefused(f"no answer within {IDENTIFIED_WITHIN_S:.0f} s", permanent=False)
        finally:
            self._identified = None
        if isinstance(answer, IdentifyRefused):
            self._move(Happening.NEVER if answer.permanent else Happening.NOT_NOW)
            remedy = "check registration_token in relay.toml" if answer.permanent else "trying again"
            self._say(f"Takaro refuses this server ({answer.text}), {remedy}", permanent=answer.permanent)
            return False
        self._game_server_id = answer.game_server_id
        self._move(Happening.IDENTIFIED)
        self._say(f"linked to Takaro, game server {answer.game_server_id}")
        return True

    async def _read(self, socket: ClientConnection, wire: Wire) -> None:
        """Sorts what Takaro says. Ends when the socket does."""
        async for text in socket:
            match frames.read_frame(text):
                case frames.Request() as request:
                    self._desk.take(wire, request)
                case frames.Pong():
                    if self._pump:
                        self._pump.ponged()
                case frames.ErrorFrame() as error:
                    self._refused(error)
                case frames.Identified() | IdentifyRefused() as answer:
                    if self._identified and not self._identified.done():
                        self._identified.set_result(answer)
                case frames.Ping(request_id):
                    wire.send(frames.pong(request_id))

    def _refused(self, error: frames.ErrorFrame) -> None:
        self._logger.warning("Takaro refused something: %s", error.text)
        if self._pump:
            self._pump.refused(error)
        elif self._identified and not self._identified.done():
            # Takaro answers an identify it cannot read with an error frame.
            self._identified.set_result(IdentifyRefused(error.text, permanent=False))

    def _move(self, happening: Happening) -> None:
        was, self._state = self._state, after(self._state, happening)
        now_s = time.monotonic()
        if self._state is State.READY:
            self._ready_since_s = now_s
        elif was is State.READY and self._ready_since_s is not None:
            if now_s - self._ready_since_s > RENEWED_AFTER_READY_S:
                self._failures = 0
        self._metrics.link_is(self._instance.slug, self._state)
        self._published = False
        self._publishing = asyncio.create_task(self.publish())

    async def publish(self) -> None:
        """Writes the state down for modapi, if that was not done yet. Called again while Redis is away."""
        info = LinkInfo(self._state.value, self._game_server_id)
        if self._published:
            return
        try:
            await self._info.write_link(info)
        except StoreError:
            return
        self._published = info.state == self._state.value

    def _say(self, text: str, *, permanent: bool = False) -> None:
        """Once for each change: an outage of an hour is one line, not a thousand."""
        if text != self._said:
            self._said = text
            self._logger.log(logging.ERROR if permanent else logging.INFO, text)


def _words(error: Exception) -> str:
    return frames.one_line(str(error)) or type(error).__name__
