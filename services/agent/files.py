"""Which files of a DayZ server's folder are logs, and what of them is unread. Pure."""

import zlib
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import NamedTuple

HEAD_BYTES = 256
"""By its first bytes a file is known again: they hold the time at which the game server was started."""

TOO_OLD_S = 600.0
"""A file that turns up and was not written to for so long is somebody's copy. (Log lines of that age are
dropped by the relay too.)"""


class Kind(Enum):
    """The logs that a DayZ server writes, a new file of each at every start."""

    RPT = "rpt"
    SCRIPT = "script"
    ADM = "adm"


class Found(NamedTuple):
    """A file as it is now."""

    name: str
    size: int
    modified_s: float


class Position(NamedTuple):
    """How far a file was read: up to `offset`, the start of a line. `head` is `head_of` what came before."""

    offset: int
    head: int


START = Position(0, 0)


def kind_of(name: str) -> Kind | None:
    """What a file is, by its name; None for everything that is no log."""
    name = name.lower()
    if name.endswith(".rpt"):
        return Kind.RPT
    if name.endswith(".adm"):
        return Kind.ADM
    if name.startswith("script") and name.endswith(".log"):
        return Kind.SCRIPT
    return None


def head_of(beginning: bytes, offset: int) -> int:
    """A number for the first bytes of a file, those up to `offset` at most."""
    return zlib.crc32(beginning[: min(offset, HEAD_BYTES)])


def new_file(found: Found, now_s: float) -> bool:
    """Is a file that was not there before to be read from its start?"""
    return now_s - found.modified_s <= TOO_OLD_S


def go_on(position: Position, size: int, beginning: bytes) -> Position:
    """Where to read on: at the start if the file was cut short, or is another one under the same name."""
    if size < position.offset or head_of(beginning, position.offset) != position.head:
        return START
    return position


def unread(found: Iterable[Found], positions: Mapping[str, Position]) -> list[tuple[Kind, Found, bool]]:
    """What there is to read, in order, and whether the file has ended: it is not the newest of its kind.

    Older files come first: the game server may have been started again since, more than once.
    """
    files = sorted(found, key=lambda file: (file.modified_s, file.name))
    rows = []
    for kind in Kind:
        own = [file for file in files if kind_of(file.name) is kind]
        rows += [
            (kind, file, file is not own[-1])
            for file in own
            if file.size != positions.get(file.name, START).offset
        ]
    return rows
