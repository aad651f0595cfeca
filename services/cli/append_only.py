"""Where the last whole record of an append-only file ends, and what lies behind it. Pure.

The file holds commands as a client would send them: "*<parts>", then "$<length>" and the bytes of each part,
all lines ended by CRLF. What one script wrote stands between MULTI and EXEC, and counts as a whole or not at
all. Valkey itself mends a file that just ends too early, and refuses one that goes on with zeros: a power cut
leaves them where the length of a file was on the disk before its data.
"""

import mmap
import re
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
    """The bytes behind the last whole record."""

    NOTHING = "nothing"
    TORN = "the beginning of a record, or of several that belong together, and perhaps zeros"
    DAMAGED = "something else"


class Scan(NamedTuple):
    """`end`: the place behind the last whole record. `stopped`: the place where reading stopped."""

    end: int
    rest: Rest
    stopped: int


def scan(data: Data) -> Scan:
    end = at = 0
    within = False
    while at < len(data):
        behind, is_whole = _record(data, at)
        if not is_whole:
            return Scan(end, Rest.TORN if _is_torn(data, at, behind) else Rest.DAMAGED, behind)
        within = bool(_OPENS.match(data, at)) or (within and not _CLOSES.match(data, at))
        at = behind
        if not within:
            end = at
    return Scan(end, Rest.TORN if within else Rest.NOTHING, at)


def _record(data: Data, at: int) -> tuple[int, bool]:
    """The end of the record that begins there, and True; or its first missing or wrong byte, and False."""
    if note := _NOTE.match(data, at):
        return note.end(), True
    if not (head := _PARTS.match(data, at)):
        return _behind_begun(data, at), False
    at = head.end()
    for _ in range(int(head[1])):
        if not (length := _LENGTH.match(data, at)):
            return _behind_begun(data, at), False
        at = length.end() + int(length[1]) + 2
        if (line_end := data[at - 2 : at]) != b"\r\n":
            return min(at - 2 + line_end.startswith(b"\r"), len(data)), False
    return at, True


def _behind_begun(data: Data, at: int) -> int:
    """The place behind what can be the beginning of a line of a record."""
    begun = _BEGUN.match(data, at)
    return begun.end() if begun else at


def _is_torn(data: Data, begin: int, stopped: int) -> bool:
    """Whether it is the last record: only zeros follow the wrong byte, and no whole record is in it. If there
    is one, the length is wrong, not the end."""
    if _ANY_BUT_ZERO.search(data, stopped) or stopped - begin > LONGEST_TAIL_BYTES:
        return False
    within = (_record(data, found.start()) for found in _COMMAND.finditer(data, begin + 1, stopped))
    return not any(is_whole and end <= stopped for end, is_whole in within)
