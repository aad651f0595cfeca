"""One open socket to Takaro: what is said in one turn of the loop leaves in one write."""

import asyncio

from websockets.asyncio.client import ClientConnection
from websockets.protocol import State

from services.uplink.connection.websocket_frames import text_frames

MAX_UNSENT_BYTES = 8 * 1024 * 1024
"""A Takaro that stopped reading is left when this much waits for it."""


MOST_FRAMES = 40
"""So many wait for the end of the turn: a window of events and its ping, or a part of Takaro's burst. In one
turn a hundred requests are answered on each of a hundred sockets: the first need not wait for the last."""


class SocketWriter:
    """The writing end of a socket. It goes below the library's `send`: many frames, one system call."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._frames: list[bytes] = []

    @property
    def open(self) -> bool:
        return self._socket.protocol.state is State.OPEN

    def send(self, *frames: bytes) -> None:
        """Writes frames at the end of this turn. On a socket that is gone they are lost with it."""
        if not self._frames:
            asyncio.get_running_loop().call_soon(self.flush)
        self._frames += frames
        if len(self._frames) >= MOST_FRAMES:
            self.flush()

    def flush(self) -> None:
        """Writes now what `send` was given."""
        frames, self._frames = self._frames, []
        if not frames or not self.open:
            return
        self._socket.transport.write(text_frames(frames))
        if self._socket.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self._socket.transport.abort()
