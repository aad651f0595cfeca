"""Reads what is new in the logs of a folder. A file is open only while it is read, to lock nobody out."""

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from services.agent.files import HEAD_BYTES, FileId, Found, KnownFile, LogKind, LogPosition, kind_of, unread
from services.agent.known_files import KnownFiles
from services.agent.lines import split, text_of

MAX_READ_BYTES = 1024 * 1024

logger = logging.getLogger(__name__)


class Read(NamedTuple):
    """One non-empty line, and where it ends in its file."""

    kind: LogKind
    text: str
    file: KnownFile
    offset: int


class Tail:
    """The logs of `folder`. Reads from `positions` on; with None, only what is written from now on.

    Reads up to `max_read_bytes` of a file at a time. `known` has how far each file was read.
    """

    def __init__(
        self,
        folder: Path,
        positions: Sequence[LogPosition] | None,
        max_read_bytes: int = MAX_READ_BYTES,
    ) -> None:
        self._folder = folder
        self._max_read_bytes = max_read_bytes
        self._away = False
        self.known = KnownFiles(positions or (), self._beginning)
        if positions is None:
            self.known.update(self._list(), None)

    def read(self) -> Iterator[Read]:
        """The new lines. Raises nothing: a file that cannot be read now is tried again next time."""
        found = self._list()
        if not found:  # the mount may be away: forget nothing
            return
        now_s = time.time()
        present = self.known.update(found, now_s)
        offsets = {name: file.position.offset for name, file in present.items()}
        for kind, one, ended in unread([one for one in found if one.name in present], offsets):
            try:
                yield from self._read(kind, one, ended, now_s)
            except OSError as error:
                logger.debug("%s cannot be read: %s", one.name, error)

    def _read(self, kind: LogKind, found: Found, ended: bool, now_s: float) -> Iterator[Read]:
        with open(self._folder / found.name, "rb") as opened:
            file = self.known.opened(found, opened.read(HEAD_BYTES), now_s)
            start = file.position.offset
            opened.seek(start)
            data = opened.read(min(self._max_read_bytes, found.size - start))
        whole = start + len(data) >= found.size
        if whole and not ended:  # over a network a file can end with zeros that nobody has written
            data = data.rstrip(b"\0")
        offset = start
        for line, end in split(data, ended=ended and whole):
            offset = start + end
            # Before the yield: a caller that asks for the position has this line already.
            file.read_to(offset)
            if text := text_of(line):
                yield Read(kind, text, file, offset)
        file.read_to(offset)

    def _beginning(self, name: str) -> bytes | None:
        try:
            with open(self._folder / name, "rb") as opened:
                return opened.read(HEAD_BYTES)
        except OSError as error:
            logger.debug("%s cannot be read: %s", name, error)
            return None

    def _list(self) -> list[Found]:
        try:
            logs = {path.name: path for path in self._folder.iterdir() if kind_of(path.name)}
        except OSError as error:
            if not self._away:
                logger.warning("the folder of the logs cannot be read: %s", error.strerror)
            self._away = True
            return []
        self._away = False
        found: dict[FileId | str, Found] = {}
        # Read the RPT last: by then it has the script lines of the other log, which are sent from there.
        for name, path in sorted(logs.items(), key=lambda log: (kind_of(log[0]) is LogKind.RPT, log[0])):
            with contextlib.suppress(OSError):
                # Not from the folder: on Windows its size there is old while the file is open.
                stat = path.stat()
                file_id = FileId(stat.st_dev, stat.st_ino) if stat.st_ino else None
                file = Found(name, stat.st_size, stat.st_mtime, file_id)
                # A link is the same file. It keeps the name by which it is known.
                if (file_id or name) not in found or self.known.has(file):
                    found[file_id or name] = file
        return list(found.values())
