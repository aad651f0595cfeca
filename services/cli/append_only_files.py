"""Checks the files of the embedded store after a power cut, and mends them where nothing is lost by it.

A Valkey keeps `appendonlydir`: a base (the data as of some moment), what was written since, and a manifest
that names them. Each is synced before what depends on it is answered, so a power cut can only tear the end of
the last file, whose writes had no answer yet. Anything else is named, and left to a person.
"""

import mmap
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from services.cli import private_files
from services.cli.append_only import Data, Rest, scan
from services.relay.protocol.errors import ConfigError

CUT_OFF = "cut-off"  # the folder beside `appendonlydir` that keeps what was cut off

NEEDED_BYTES = 256 * 1024  # room without which the store may not be able to start

_MANIFEST = "appendonly.aof.manifest"
_LINE = re.compile(r"file (\S+) seq (\d+) type ([bhi])(?: [a-z]+ \d+)*")  # Redis 8 adds a startoffset
_FILE = re.compile(r"appendonly\.aof\.(\d+)\.(base|incr)\.(?:rdb|aof)")
_RDB = (b"REDIS", b"VALKEY")
_RDB_END = -9  # offset of the end mark, which stands before the checksum of eight bytes


class Named(NamedTuple):
    """A line of the manifest. `kind`: "b" for a base, "i" for what was written since, "h" for history."""

    name: str
    seq: int
    kind: str

    def __str__(self) -> str:
        return f"file {self.name} seq {self.seq} type {self.kind}\n"


def mend(data: Path, *, thorough: bool = False) -> list[str]:
    """Mends the files of the store in `data`, which must not run; what was done, a line each.

    Not `thorough`, files of records are read only if they end as no record does. Raises ConfigError, which
    names the file and the way out, for what cannot be mended: then nothing is changed. Raises OSError.
    """
    folder = data / "appendonlydir"
    if not folder.is_dir():
        return []
    named, notes = _manifest(folder)
    cuts = _damages(folder, named, thorough=thorough)
    if notes:
        private_files.replace(folder / _MANIFEST, "".join(map(str, named)).encode())
    return [*notes, *(_cut(data, folder / name, end) for name, end in cuts)]


def full_disk(data: Path, needed: int = NEEDED_BYTES) -> str:
    """What to do if the disk of `data` is full, or "". The store ends then, and cannot even log why."""
    left = shutil.disk_usage(data).free
    return f"--data {data}: its disk is full ({left:,} bytes left): make room there" if left < needed else ""


def complaint(data: Path, needed: int = NEEDED_BYTES) -> str:
    """What is wrong with the disk or the files of the store in `data`, and the fix, or "". Mends nothing."""
    folder = data / "appendonlydir"
    try:
        if data.is_dir() and (full := full_disk(data, needed)):
            return full  # first: without room no file can be mended
        named, notes = _manifest(folder) if folder.is_dir() else ([], [])
        if notes or _damages(folder, named, thorough=True):
            return f"{folder}: a power cut has torn the end of a file: `dayz-relay up` mends it"
    except ConfigError as error:
        return str(error)
    except OSError as error:
        return f"--data {data}: cannot be read: {error.strerror}"
    return ""


def _manifest(folder: Path) -> tuple[list[Named], list[str]]:
    """The files in the manifest, and a line for the log if it must be rewritten. Raises ConfigError."""
    path = folder / _MANIFEST
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        text = b""
    lines = text.rstrip(b"\0").decode("latin-1").split("\n")
    read = [_LINE.fullmatch(line) for line in lines[:-1]]
    if lines[:-1] and not lines[-1] and all(read):
        named = [Named(line[1], int(line[2]), line[3]) for line in read if line]
        return named, [f"{path}: zeros at its end were cut off"] if b"\0" in text else []
    # One base and one file behind it belong together. Of more, some may be left over from a rewrite.
    found = [match for name in sorted(os.listdir(folder)) if (match := _FILE.fullmatch(name))]
    kinds = [match[2] for match in found]
    if not found:
        return [], []
    if len(kinds) > len(set(kinds)):
        raise _beyond_repair(path, "does not say which of the files beside it are needed")
    return (
        [Named(match[0], int(match[1]), match[2][0]) for match in found],
        [f"{path}: was torn or missing, and was written anew from the files beside it"],
    )


def _damages(folder: Path, named: list[Named], *, thorough: bool) -> list[tuple[str, int]]:
    """The files to cut, and where. Raises ConfigError for damage that no cut mends."""
    cuts = []
    increments = [one.name for one in named if one.kind == "i"]
    for base in [one.name for one in named if one.kind == "b"]:
        with _mapped(folder / base) as data:
            # Valkey reads an empty one as no data, without an error. It can be records too.
            is_rdb = data[:6].startswith(_RDB) and data[_RDB_END:][:1] == b"\xff"
            if not is_rdb and not (data[:1] == b"*" and scan(data).rest is Rest.NOTHING):
                raise _beyond_repair(folder / base, "is not whole")
    behind = 0  # number of bytes in the files that follow
    for name in reversed(increments):
        with _mapped(folder / name) as data:
            # The server mends a file that was cut exactly there.
            if not thorough and not behind and data[-2:] in (b"", b"\r\n"):
                break
            found = scan(data)
            if found.rest is Rest.DAMAGED or (found.rest is Rest.TORN and behind):
                raise _beyond_repair(folder / name, f"is damaged at byte {found.stopped:,} of {len(data):,}")
            if found.rest is Rest.TORN:
                cuts.append((name, found.end))
            behind += found.end
        if behind and not thorough:
            break
    return cuts


@contextmanager
def _mapped(path: Path) -> Iterator[Data]:
    """The bytes of a file, without reading them. Raises ConfigError when it is missing."""
    try:
        with path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                yield b""
                return
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                yield mapped
    except FileNotFoundError:
        raise _beyond_repair(path, "is missing") from None


def _cut(data: Path, path: Path, end: int) -> str:
    """Cuts a file off at `end`, and keeps what is cut."""
    kept = data / CUT_OFF / f"{path.name}.from-{end}"
    with path.open("r+b") as file:
        file.seek(end)
        tail = file.read()
        private_files.replace(kept, tail)
        file.truncate(end)
        os.fsync(file.fileno())
    return (
        f"{path}: {len(tail):,} bytes behind its last whole record were cut off, as a power cut leaves them;"
        f" they are kept in {kept}"
    )


def _beyond_repair(path: Path, what: str) -> ConfigError:
    return ConfigError(
        f"{path}: {what}, and no power cut does that: restore the folder from a backup, or mend a copy of it"
        " with valkey-check-aof, or move it away to start empty (all that waits in it is then lost)"
    )
