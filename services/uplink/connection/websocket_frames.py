"""Text messages as WebSocket frames (RFC 6455 5.2): many at once, for half of what the library takes."""

import os
import struct
from collections.abc import Sequence

from websockets.frames import apply_mask  # type: ignore[attr-defined]

_WHOLE_TEXT, _MASKED = 0x81, 0x80
_SHORT, _MEDIUM, _LONG = struct.Struct("!BB"), struct.Struct("!BBH"), struct.Struct("!BBQ")


def text_frames(messages: Sequence[bytes]) -> bytes:
    """The bytes of all of them, each as one frame of a client, on a connection without extensions."""
    masks = os.urandom(4 * len(messages))  # nobody may guess the mask of a frame (RFC 6455 5.3)
    parts: list[bytes] = []
    for number, message in enumerate(messages):
        mask = masks[4 * number : 4 * number + 4]
        parts += (_head(len(message)), mask, apply_mask(message, mask))
    return b"".join(parts)


def _head(size_bytes: int) -> bytes:
    if size_bytes < 126:
        return _SHORT.pack(_WHOLE_TEXT, _MASKED | size_bytes)
    if size_bytes < 65_536:
        return _MEDIUM.pack(_WHOLE_TEXT, _MASKED | 126, size_bytes)
    return _LONG.pack(_WHOLE_TEXT, _MASKED | 127, size_bytes)
