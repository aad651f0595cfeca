"""Which files of a folder are logs, how one is known again, and what of them is unread. Pure."""

import zlib
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import NamedTuple

HEAD_BYTES = 16 * 1024
"""Size of the beginning by which a file is known again. The time of the game server's start is in it; in an
RPT that comes after the command line with all mods."""

MIN_ALIKE_BYTES = 64
"""Two files with less in common may both just have begun."""

TOO_OLD_S = 600.0
"""A file that turns up and was not written to for so long is somebody's copy. (Log lines of that age are
dropped by the relay too.)"""


class LogKind(Enum):
    """The logs that a DayZ server writes, a new file of each at every start."""

    RPT = "rpt"
    SCRIPT = "script"
    ADM = "adm"


class FileId(NamedTuple):
    """What a file keeps when it is renamed. A deleted file's number is given to another one."""

    device: int
    inode: int


class Found(NamedTuple):
    """A file as it is now. `file_id` is None where the file system has none."""

    name: str
    size: int
    modified_s: float
    file_id: FileId | None = None


class Head(NamedTuple):
    """A hash of the first `length` bytes of a file."""

    length: int
    crc: int


class LogPosition(NamedTuple):
    """How far a file was read: up to `offset`, the start of a line. The rest is what it is known by."""

    name: str
    file_id: FileId | None
    offset: int
    head: Head


def kind_of(name: str) -> LogKind | None:
    """What a file is, by its name; None for everything that is no log."""
    name = name.lower()
    if name.endswith(".rpt"):
        return LogKind.RPT
    if name.endswith(".adm"):
        return LogKind.ADM
    if name.startswith("script") and name.endswith(".log"):
        return LogKind.SCRIPT
    return None


def head_of(beginning: bytes, offset: int) -> Head:
    """The head of a file that was read up to `offset`."""
    head = beginning[: min(offset, HEAD_BYTES)]
    return Head(len(head), zlib.crc32(head))


def is_new(found: Found, now_s: float) -> bool:
    """Whether a file that nothing is known of is to be read from its start."""
    return now_s - found.modified_s <= TOO_OLD_S


def fits(position: LogPosition, size: int, beginning: bytes) -> bool:
    """Whether a file of this size and beginning can be the one that was read so far."""
    return size >= position.offset and head_of(beginning, position.head.length) == position.head


def unmoved(found: Found, beginning: bytes, absent: Mapping[int, LogPosition]) -> int | None:
    """Which of the absent files is this one, by its name and number."""
    return _last(
        key
        for key, position in absent.items()
        if position.name == found.name
        and len({position.file_id, found.file_id} - {None}) < 2
        and fits(position, found.size, beginning)
    )


def same_file(found: Found, beginning: bytes, absent: Mapping[int, LogPosition]) -> int | None:
    """Which of the absent files is this one, by its number, under another name."""
    return _last(
        key
        for key, position in absent.items()
        if found.file_id and position.file_id == found.file_id and fits(position, found.size, beginning)
    )


def same_name(found: Found, beginning: bytes, absent: Mapping[int, LogPosition]) -> int | None:
    """Which of the absent files is this one, by its name: its number is another one than before."""
    return _last(
        key
        for key, position in absent.items()
        if position.name == found.name and fits(position, found.size, beginning)
    )


def same_content(found: Found, beginning: bytes, absent: Mapping[int, LogPosition]) -> int | None:
    """Which of the absent files is this one, by its content: it was moved by being copied and deleted."""
    alike = [
        key
        for key, position in absent.items()
        if MIN_ALIKE_BYTES <= position.head.length == min(position.offset, HEAD_BYTES)
        and fits(position, found.size, beginning)
    ]
    return max(alike, key=lambda key: absent[key].offset, default=None)


def _last(keys: Iterable[int]) -> int | None:
    return max(keys, default=None)


def is_alike(one: bytes, other: bytes) -> bool:
    """Whether two beginnings are of the same log, one of which may be longer."""
    shorter, longer = sorted((one, other), key=len)
    return len(shorter) >= MIN_ALIKE_BYTES and longer.startswith(shorter)


def unread(found: Iterable[Found], offsets: Mapping[str, int]) -> list[tuple[LogKind, Found, bool]]:
    """What there is to read, in order, and whether the file has ended: it is not the newest of its kind.

    Older files come first: the game server may have been started again since, more than once.
    """
    files = sorted(found, key=lambda file: (file.modified_s, file.name))
    rows = []
    for kind in LogKind:
        own = [file for file in files if kind_of(file.name) is kind]
        rows += [(kind, file, file is not own[-1]) for file in own if file.size != offsets.get(file.name, 0)]
    return rows
