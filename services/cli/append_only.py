"""Where the last whole record of an append-only file ends, and what lies behind it. Pure.

The file holds commands as a client would send them: "*<parts>", then "$<length>" and the bytes of each part,
all lines ended by CRLF. What one script wrote stands between MULTI and EXEC, and counts as a whole or not at
all. Valkey itself mends a file that just ends too early, and refuses one that goes on with zeros: a power cut
leaves them where the length of a file was on the disk before its data.
"""

import mmap
import re
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

Data = bytes | mmap.mmap

_PARTS = re.compile(rb"\*(\d{1,9})\r\n")
_LENGTH = re.compile(rb"\$(\d{1,9})\r\n")
_NOTE = re.compile(rb"#[^\r\n]{0,100}\r\n")  # the time, if the server is set to note it
_BEGUN = re.compile(rb"(?:[*$](?:\d{1,9}\r?)?|#[^\r\n\0]{0,100}\r?)?")
_ANY_BUT_ZERO = re.compile(rb"[^\0]")
_OPENS = re.compile(rb"\*1\r\n\$5\r\nMULTI\r\n", re.IGNORECASE)
_CLOSES = re.compile(rb"\*1\r\n\$4\r\nEXEC\r\n", re.IGNORECASE)
_COMMAND = re.compile(rb"\*\d{1,9}\r\n\$\d{1,2}\r\n[A-Za-z]")

LONGEST_TAIL_BYTES = 64 * 1024 * 1024
"""Number of bytes; the server writes far fewer at once. A longer "half record" has a damaged length."""


class Rest(Enum):
    """What is behind the last whole record."""

    NOTHING = "nothing"
    TORN = "the beginning of a record, or of several that belong together, and perhaps zeros"
    DAMAGED = "something else"


class Scan(NamedTuple):
    """`end`: the place behind the last whole record. `stopped`: the place where reading stopped."""

    end: int
    rest: Rest
    stopped: int


class _Stop(Exception):
    """No whole record begins here. `at`: the first byte that is missing or wrong."""

    def __init__(self, at: int) -> None:
        self.at = at


def scan(data: Data) -> Scan:
    end = at = 0
    within = False
    try:
        while at < len(data):
            if _OPENS.match(data, at):
                within = True
            elif _CLOSES.match(data, at):
                within = False
            at = _behind_record(data, at)
            if not within:
                end = at
    except _Stop as stop:
        return Scan(end, Rest.TORN if _is_torn(data, at, stop.at) else Rest.DAMAGED, stop.at)
    return Scan(end, Rest.TORN if within else Rest.NOTHING, at)


def ends_well(data: Data) -> bool:
    """Whether it ends as a record does. The server mends a file that was cut exactly there."""
    return not len(data) or data[-2:] == b"\r\n"


def _behind_record(data: Data, at: int) -> int:
    """Where the record ends that begins there. Raises _Stop."""
    if note := _NOTE.match(data, at):
        return note.end()
    if not (head := _PARTS.match(data, at)):
        raise _Stop(at + _begun(data, at))
    at = head.end()
    for _ in range(int(head[1])):
        if not (length := _LENGTH.match(data, at)):
            raise _Stop(at + _begun(data, at))
        at = length.end() + int(length[1]) + 2
        if (line_end := data[at - 2 : at]) != b"\r\n":
            raise _Stop(min(at - 2 + line_end.startswith(b"\r"), len(data)))
    return at


def _begun(data: Data, at: int) -> int:
    """Number of bytes that can be the beginning of a line of a record."""
    begun = _BEGUN.match(data, at)
    return len(begun[0]) if begun else 0


def _is_torn(data: Data, begin: int, stopped: int) -> bool:
    """Whether it is the last record: only zeros follow the wrong byte, and no other record is in it."""
    if _ANY_BUT_ZERO.search(data, stopped):
        return False
    last = min(stopped, len(data))
    return last - begin <= LONGEST_TAIL_BYTES and not any(_others(data, begin + 1, last))


def _others(data: Data, begin: int, end: int) -> Iterator[bool]:
    """Looks for whole records inside the torn one. If there is one, the length is wrong, not the end."""
    for found in _COMMAND.finditer(data, begin, end):
        try:
            yield _behind_record(data, found.start()) <= end
        except _Stop:
            yield False
