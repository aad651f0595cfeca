"""A WebSocket server reads what was written, with one system call for each turn of the loop."""

from dataclasses import dataclass, field
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from services.uplink.connection.takaro_socket import MAX_FRAMES, MAX_UNSENT_BYTES, TakaroSocket


@dataclass
class Transport:
    written: list[bytes] = field(default_factory=list)
    unsent_bytes: int = 0
    aborted: bool = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def abort(self) -> None:
        self.aborted = True


@dataclass
class Socket:
    transport: Transport = field(default_factory=Transport)
    protocol: ClientProtocol = field(
        default_factory=lambda: ClientProtocol(parse_uri("ws://takaro/"), state=State.OPEN, max_size=None)
    )

    def writer(self) -> TakaroSocket:
        return TakaroSocket(cast(ClientConnection, self))


def read(data: bytes) -> list[bytes]:
    server = ServerProtocol(state=State.OPEN, max_size=None)
    server.receive_data(data)
    frames = server.events_received()
    assert all(isinstance(f, Frame) and f.fin and f.opcode is Opcode.TEXT for f in frames)
    assert server.data_to_send() == []  # nothing to complain about
    return [bytes(frame.data) for frame in frames if isinstance(frame, Frame)]


async def written(*messages: bytes) -> bytes:
    socket = Socket()
    writer = socket.writer()
    writer.send(*messages)
    writer.flush()
    assert len(socket.transport.written) <= 1
    return b"".join(socket.transport.written)


@given(messages=st.lists(st.binary(max_size=300), max_size=20))
async def test_all_messages_arrive_in_their_order(messages: list[bytes]) -> None:
    assert read(await written(*messages)) == messages


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
async def test_each_way_to_write_a_size_is_read(size: int) -> None:
    assert read(await written(b"x" * size, b"the next")) == [b"x" * size, b"the next"]


async def test_no_frame_has_the_mask_of_another() -> None:
    data = await written(*[b"same"] * 100)
    assert len({data[at + 2 : at + 6] for at in range(0, len(data), 10)}) == 100


async def test_a_long_burst_does_not_wait_for_the_end_of_the_turn() -> None:
    socket = Socket()
    writer = socket.writer()
    writer.send(*[b"x"] * (MAX_FRAMES - 1))
    assert not socket.transport.written
    writer.send(b"x")
    assert len(read(b"".join(socket.transport.written))) == MAX_FRAMES


async def test_a_takaro_that_stopped_reading_is_left() -> None:
    socket = Socket(Transport(unsent_bytes=MAX_UNSENT_BYTES + 1))
    writer = socket.writer()
    writer.send(b"x")
    writer.flush()
    assert socket.transport.aborted
