"""Which files of a folder are logs, how a log is recognised, and what is unread. Pure."""

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

HEAD_BYTES = 16 * 1024
"""A file is recognised by this much of its beginning. It has to include the time at which the game server
started, which an RPT writes after the command line with all mods."""

MIN_ALIKE_BYTES = 64  # two files that share less than this may be different logs that have just begun

TOO_OLD_S = 600.0
"""A new file that nobody has written to for this long is a copy that somebody put there. The relay drops log
lines of that age, too."""


class LogKind(Enum):
    """The logs that a DayZ server writes, a new file of each at every start."""

    RPT = "rpt"
    SCRIPT = "script"
    ADM = "adm"


class FileId(NamedTuple):
    """Stays the same when a file is renamed. The number of a deleted file is used again for another one."""

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
    """How far a file was read: up to `offset`, the start of a line. The other fields identify the file."""

    name: str
    file_id: FileId | None
    offset: int
    head: Head


def kind_of(name: str) -> LogKind | None:
    """The kind of log, by the file's name; None for other files."""
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


@dataclass(slots=True, eq=False)
class KnownFile:
    """A log that exists, or existed. A renamed log keeps its object.

    `beginning` are its first bytes as they were last read. `seen` is what the last read found. `original` is
    the log of which it is a copy.
    """

    position: LogPosition
    beginning: bytes = b""
    seen: Found | None = None
    original: "KnownFile | None" = None

    def at(self, offset: int) -> LogPosition:
        """Its position as it is, or was, at `offset`."""
        position = self.position
        if offset == position.offset:
            return position
        head = position.head
        if offset < HEAD_BYTES or head.length < HEAD_BYTES:
            head = head_of(self.beginning, offset)
        return position._replace(offset=offset, head=head)

    def read_to(self, offset: int) -> None:
        """Notes that it was read up to `offset`."""
        self.position = self.at(offset)


def is_new(found: Found, now_s: float) -> bool:
    """Whether to read an unknown file from its start."""
    return now_s - found.modified_s <= TOO_OLD_S


def fits(position: LogPosition, size: int, beginning: bytes) -> bool:
    """Whether a file of this size and beginning can be the one that was read up to `position`."""
    return size >= position.offset and head_of(beginning, position.head.length) == position.head


Rule = Callable[[LogPosition, Found], bool]  # whether a file may be the absent one that was read so far


def unmoved(position: LogPosition, found: Found) -> bool:
    """Whether it has the same name, and the same number as far as both are known."""
    return position.name == found.name and len({position.file_id, found.file_id} - {None}) < 2


def same_file(position: LogPosition, found: Found) -> bool:
    """Whether it has the same number, whatever its name."""
    return found.file_id is not None and position.file_id == found.file_id


def same_name(position: LogPosition, found: Found) -> bool:
    """Whether it has the same name, whatever its number."""
    return position.name == found.name


def same_content(position: LogPosition, found: Found) -> bool:
    """Whether its content alone decides: somebody copied the file and deleted the original."""
    return MIN_ALIKE_BYTES <= position.head.length == min(position.offset, HEAD_BYTES)


def is_alike(one: bytes, other: bytes) -> bool:
    """Whether two beginnings are of the same log. One of them may be longer."""
    shorter, longer = sorted((one, other), key=len)
    return len(shorter) >= MIN_ALIKE_BYTES and longer.startswith(shorter)


def unread(found: Iterable[Found], offsets: Mapping[str, int]) -> list[tuple[LogKind, Found, bool]]:
    """The files to read, in order. The flag says that a file has ended: there is a newer one of its kind.

    Older files come first, because the game server may have restarted more than once since the last read.
    """
    files = sorted(found, key=lambda file: (file.modified_s, file.name))
    rows = []
    for kind in LogKind:
        own = [file for file in files if kind_of(file.name) is kind]
        rows += [(kind, file, file is not own[-1]) for file in own if file.size != offsets.get(file.name, 0)]
    return rows
