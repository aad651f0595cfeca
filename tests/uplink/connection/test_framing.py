"""What is framed here is read by a WebSocket server as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from services.uplink.connection.websocket_frames import text_frames


def read(data: bytes) -> list[bytes]:
    server = ServerProtocol(state=State.OPEN, max_size=None)
    server.receive_data(data)
    frames = server.events_received()
    assert all(isinstance(f, Frame) and f.fin and f.opcode is Opcode.TEXT for f in frames)
    assert server.data_to_send() == []  # nothing to complain about
    return [bytes(frame.data) for frame in frames if isinstance(frame, Frame)]


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_all_messages_arrive_in_their_order(messages: list[bytes]) -> None:
    assert read(text_frames(messages)) == messages


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
def test_each_way_to_write_a_size_is_read(size: int) -> None:
    assert read(text_frames([b"x" * size, b"the next"])) == [b"x" * size, b"the next"]


def test_no_frame_has_the_mask_of_another() -> None:
    data = text_frames([b"same"] * 100)
    assert len({data[at + 2 : at + 6] for at in range(0, len(data), 10)}) == 100
