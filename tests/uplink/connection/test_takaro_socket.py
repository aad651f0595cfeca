"""A WebSocket server reads what was written, with one system call for each turn of the loop."""

import asyncio

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


class RecordedTransport(asyncio.Transport):
    """Keeps what is written, and has as many bytes left to send as a test says."""

    def __init__(self, unsent_bytes: int = 0) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.unsent_bytes = unsent_bytes
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There are none."""

    def abort(self) -> None:
        self.aborted = True


def open_socket(unsent_bytes: int = 0) -> tuple[TakaroSocket, RecordedTransport]:
    transport = RecordedTransport(unsent_bytes)
    connection = ClientConnection(ClientProtocol(parse_uri("ws://takaro/"), state=State.OPEN, max_size=None))
    connection.connection_made(transport)
    return TakaroSocket(connection), transport


def read(data: bytes) -> list[bytes]:
    server = ServerProtocol(state=State.OPEN, max_size=None)
    server.receive_data(data)
    frames = server.events_received()
    assert all(isinstance(f, Frame) and f.fin and f.opcode is Opcode.TEXT for f in frames)
    assert server.data_to_send() == []  # nothing to complain about
    return [bytes(frame.data) for frame in frames if isinstance(frame, Frame)]


async def written(*messages: bytes) -> bytes:
    socket, transport = open_socket()
    socket.send(*messages)
    socket.flush()
    assert len(transport.written) <= 1
    return b"".join(transport.written)


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
    socket, transport = open_socket()
    socket.send(*[b"x"] * (MAX_FRAMES - 1))
    assert not transport.written
    socket.send(b"x")
    assert len(read(b"".join(transport.written))) == MAX_FRAMES


async def test_the_socket_is_closed_when_takaro_stops_reading() -> None:
    socket, transport = open_socket(unsent_bytes=MAX_UNSENT_BYTES + 1)
    socket.send(b"x")
    socket.flush()
    assert transport.aborted
