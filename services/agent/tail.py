"""Reads what is new in the logs of a folder. A file is open only while it is read: nobody is kept from it."""

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from services.agent.files import HEAD_BYTES, Found, Kind, Position, go_on, head_of, kind_of, new_file, unread
from services.agent.lines import split, text_of

MAX_READ_BYTES = 1024 * 1024
"""Of one file in one turn."""

logger = logging.getLogger(__name__)


class Read(NamedTuple):
    """One line that is not empty, and where it ends in its file."""

    kind: Kind
    text: str
    name: str
    offset: int


class Tail:
    """The logs of `folder`, read from `positions` on; None: from what there is now."""

    def __init__(self, folder: Path, positions: Mapping[str, Position] | None) -> None:
        self._folder = folder
        self._beginnings: dict[str, bytes] = {}
        self._away = False
        self.positions = dict(positions or {})
        """How far each file is read."""
        if positions is None:
            for file in self._look():
                self._skip(file)

    def read(self) -> Iterator[Read]:
        """The lines that are new. Never fails: what cannot be read now is looked at again next time."""
        found = self._look()
        now_s = time.time()
        for file in found:
            if file.name not in self.positions and not new_file(file, now_s):
                self._skip(file)
        for kind, file, ended in unread(found, self.positions):
            try:
                yield from self._read(kind, file, ended)
            except OSError as error:
                logger.debug("%s cannot be read: %s", file.name, error)

    def position(self, name: str, offset: int) -> Position:
        """How far a file that was read is done with."""
        return Position(offset, head_of(self._beginnings.get(name, b""), offset))

    def _read(self, kind: Kind, file: Found, ended: bool) -> Iterator[Read]:
        if file.name not in self.positions:
            logger.info("follows %s", file.name)
        with open(self._folder / file.name, "rb") as opened:
            beginning = self._beginnings[file.name] = opened.read(HEAD_BYTES)
            start = go_on(self.positions.get(file.name, Position(0, 0)), file.size, beginning).offset
            opened.seek(start)
            data = opened.read(min(MAX_READ_BYTES, file.size - start))
        offset = start
        for line, end in split(data, ended=ended and start + len(data) >= file.size):
            offset = start + end
            # Before the line is given away: whoever asks how far it was read has had it.
            self.positions[file.name] = self.position(file.name, offset)
            if text := text_of(line):
                yield Read(kind, text, file.name, offset)
        self.positions[file.name] = self.position(file.name, offset)

    def _skip(self, file: Found) -> None:
        try:
            with open(self._folder / file.name, "rb") as opened:
                self._beginnings[file.name] = opened.read(HEAD_BYTES)
        except OSError as error:
            logger.debug("%s cannot be read: %s", file.name, error)
            return
        self.positions[file.name] = self.position(file.name, file.size)

    def _look(self) -> list[Found]:
        found = []
        try:
            logs = {path.name: path for path in self._folder.iterdir() if kind_of(path.name)}
        except OSError as error:
            if not self._away:
                logger.warning("the folder of the logs cannot be read: %s", error.strerror)
            self._away = True
            return []
        self._away = False
        if logs:  # else it is a mount that is away, and nothing must be forgotten
            for name in self.positions.keys() - logs.keys():
                del self.positions[name]
                self._beginnings.pop(name, None)
        # The RPT last: what another log has by now of its lines is in it already, and is sent from there.
        for name, path in sorted(logs.items(), key=lambda log: kind_of(log[0]) is Kind.RPT):
            with contextlib.suppress(OSError):
                # Not what the folder says of it: on Windows that is old while the file is open.
                stat = path.stat()
                found.append(Found(name, stat.st_size, stat.st_mtime))
        return found
