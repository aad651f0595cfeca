"""The server side of RFC 6455, as far as the sink needs it."""

import base64
import hashlib
from typing import NamedTuple

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
_ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Masked(NamedTuple):
    """A frame of a client. `at` is the place of its four mask bytes, `end` the end of its payload."""

    opcode: int
    at: int
    end: int

    def payload(self, data: bytes) -> bytes:
        return unmask(data[self.at : self.end])


def next_frame(data: bytes, at: int) -> Masked | None:
    """The frame that begins at `at`, or None if it is not complete."""
    there = len(data)
    if there - at < 6:
        return None
    length, start = data[at + 1] & 127, at + 2
    if length > 125:
        size = 2 if length == 126 else 8
        if there < start + size:
            return None
        length, start = int.from_bytes(data[start : start + size], "big"), start + size
    end = start + 4 + length
    return Masked(data[at] & 15, start, end) if end <= there else None


def unmask(masked: bytes) -> bytes:
    """The unmasked payload of four mask bytes and what follows them."""
    size = len(masked) - 4
    key = (masked[:4] * (size // 4 + 1))[:size]
    return (int.from_bytes(masked[4:], "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A server's frame."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 1 << 16:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


def accept(request: bytes) -> bytes:
    """The answer to an upgrade request."""
    key = b""
    for line in request.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"sec-websocket-key":
            key = value.strip()
    proof = base64.b64encode(hashlib.sha1(key + _ACCEPT).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + proof + b"\r\n\r\n"
    )
