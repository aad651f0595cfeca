"""One open socket to Takaro: writes to it, and remembers what Takaro asked on it.

All frames of one turn of the loop go out with one system call.

The library's protocol object makes the frames, but its `ClientConnection.send` does not send them. That one
makes a system call for each frame and then waits while the peer is slow: the next frames would be written
after an `await`, when the lease that was checked before may be gone. It also costs CPU. Medians of the CPU
per event of uplink, and of all processes, in µs, from six runs by turns with 100 instances on 2 cores:

                                  frames by hand     this file          `send`
    300 events/s, batches of 5      342  (775)       337  (757)       370  (782)
    closed loop, batches of 5       100  (214)        88  (207)       102  (212)
    closed loop, batches of 50       33   (64)        34   (67)        53   (84)
"""

import asyncio
import sys
import time
from array import array

from websockets.asyncio.client import ClientConnection
from websockets.protocol import State

from services.uplink.takaro.frames import Request

MAX_UNSENT_BYTES = 8 * 1024 * 1024  # a socket with more unsent bytes is closed: Takaro has stopped reading

MAX_FRAMES = 40
"""Maximum number of frames that wait for the end of the turn: a window of events and its ping, or a part of
the answers to Takaro's burst. A hundred sockets are answered in one turn: the first does not wait for all."""


REMEMBERED = 512
"""Number of requests that are remembered: those of the last 10 s, which Takaro gives to each answer, even
when 200 players are online. It refuses an answer as soon as it has it."""

_NAME_CHARS = 50


class TakaroSocket:
    """`connection` is open. Ids are kept as hashes: 1,000 sockets with 512 texts each would hold 50 MB."""

    def __init__(self, connection: ClientConnection) -> None:
        self.asked_count = 0
        self.asked_s: float | None = None  # when Takaro asked last, on time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._frames: list[bytes] = []
        self._ids = array("q")
        self._actions: list[str] = []

    @property
    def open(self) -> bool:
        return self._connection.protocol.state is State.OPEN

    def asked(self, request: Request) -> None:
        """Counts and remembers a request."""
        id, action = hash(request.request_id), sys.intern(request.action[:_NAME_CHARS])
        if self.asked_count < REMEMBERED:
            self._ids.append(id)
            self._actions.append(action)
        else:  # in the place of the oldest one
            place = self.asked_count % REMEMBERED
            self._ids[place], self._actions[place] = id, action
        self.asked_count += 1
        self.asked_s = time.monotonic()

    def asked_action(self, request_id: str) -> str | None:
        """The action of the request with this id; None: no remembered one has it. An error frame under such
        an id is about our answer."""
        try:
            return self._actions[self._ids.index(hash(request_id))]
        except ValueError:
            return None

    def send(self, *frames: bytes) -> None:
        """Writes text frames at the end of this turn of the loop. They are lost if the socket is gone."""
        if not self._frames:
            self._loop.call_soon(self.flush)
        self._frames += frames
        if len(self._frames) >= MAX_FRAMES:
            self.flush()

    def flush(self) -> None:
        """Writes the frames of `send` now."""
        frames, self._frames = self._frames, []
        protocol, transport = self._connection.protocol, self._connection.transport
        if not frames or protocol.state is not State.OPEN:
            return
        for frame in frames:
            protocol.send_text(frame)
        transport.write(b"".join(protocol.data_to_send()))
        if transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            transport.abort()

    def abort(self) -> None:
        """Ends the socket at once."""
        self._connection.transport.abort()

    async def close(self) -> None:
        """Closes the socket by a close frame."""
        await self._connection.close()
