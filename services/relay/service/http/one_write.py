"""Writes the head of an answer and its body to the socket at once. uvicorn writes them one after the other:
two system calls, and two packets for the mod.
"""

import asyncio

_CONTINUE = b"HTTP/1.1 100 "
_STREAMED = b"transfer-encoding: chunked"


class AnswerWriter:
    """The transport of one connection, as uvicorn uses it: its answers are written one after the other.

    The head of an answer is kept for the first part of its body. The head of a stream is written at once,
    because its body may come much later.
    """

    __slots__ = ("_head", "_in_answer", "_transport", "abort", "is_closing")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self._in_answer = False
        self.abort = transport.abort
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Writes what uvicorn writes: `100 Continue`, the head of an answer, or a part of its body."""
        if self._head:
            self._transport.write(self._head + data)
            self._head = b""
        elif self._in_answer or data.startswith(_CONTINUE):
            self._transport.write(data)
        else:
            self._in_answer = True
            if _STREAMED in data:
                self._transport.write(data)
            else:
                self._head = data

    def answer_ended(self) -> None:
        """Writes the head of an answer that has no body, as to a HEAD. The next answer may begin."""
        self._in_answer = False
        if self._head and not self._transport.is_closing():
            self._transport.write(self._head)
        self._head = b""

    def close(self) -> None:
        """Closes the connection when everything is written."""
        self.answer_ended()
        self._transport.close()
