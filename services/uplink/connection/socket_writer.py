"""Writes to one open socket. All frames of one turn of the loop go out with one system call.

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

from websockets.asyncio.client import ClientConnection
from websockets.protocol import State

MAX_UNSENT_BYTES = 8 * 1024 * 1024
"""A socket with more unsent bytes than this is closed: Takaro has stopped reading."""

MAX_FRAMES = 40
"""Maximum number of frames that wait for the end of the turn: a window of events and its ping, or a part of
the answers to Takaro's burst. A hundred sockets are answered in one turn: the first does not wait for all."""


class SocketWriter:
    """The writing end of a socket."""

    def __init__(self, socket: ClientConnection) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = socket
        self._frames: list[bytes] = []

    @property
    def open(self) -> bool:
        return self._socket.protocol.state is State.OPEN

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
        protocol, transport = self._socket.protocol, self._socket.transport
        if not frames or protocol.state is not State.OPEN:
            return
        for frame in frames:
            protocol.send_text(frame)
        transport.write(b"".join(protocol.data_to_send()))
        if transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            transport.abort()

    def abort(self) -> None:
        """Ends the socket at once."""
        self._socket.transport.abort()

    async def close(self) -> None:
        """Closes the socket by a close frame."""
        await self._socket.close()
