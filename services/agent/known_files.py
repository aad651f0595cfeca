"""Which files of a folder are known, and how far each was read. A file is recognised by its content and its
number, not by its name, so that a renamed or copied log is not sent again."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from services.agent import files
from services.agent.files import Found, LogPosition

_Find = Callable[[Found, bytes, Mapping[int, LogPosition]], int | None]

MAX_ABSENT = 100  # number of deleted files that are remembered: one may come back under another name

logger = logging.getLogger(__name__)


class _Unidentified(NamedTuple):
    """A file that may differ from the one that is known by its name."""

    found: Found
    beginning: bytes


class KnownFiles:
    """`positions` has a key of our own for each known file. `beginning_of(name)` reads the first HEAD_BYTES
    of a file; it returns None if the file cannot be read now."""

    def __init__(self, positions: Iterable[LogPosition], beginning_of: Callable[[str], bytes | None]) -> None:
        self.positions = dict(enumerate(positions))
        self._beginning_of = beginning_of
        self._next_key = len(self.positions)
        self._present = {position.name: key for key, position in self.positions.items()}
        self._beginnings: dict[int, bytes] = {}
        self._seen: dict[int, Found] = {}
        self._copies: dict[int, int] = {}  # the key of a copy -> the key of its original

    def has(self, file: Found) -> bool:
        """Whether this file is known by this name."""
        key = self._present.get(file.name)
        return key is not None and self.positions[key].file_id == file.file_id

    def update(self, found: Collection[Found], now_s: float | None) -> dict[str, int]:
        """The keys of all files that are there and can be read, by name. Without `now_s` no new file is read
        from its start."""
        present: dict[str, int] = {}
        unidentified: list[_Unidentified] = []
        for file in found:
            key = self._present.get(file.name)
            if key is not None and self._seen.get(key) == file:
                present[file.name] = key
            elif (beginning := self._beginning_of(file.name)) is not None:
                unidentified.append(_Unidentified(file, beginning))
        sizes = {present[file.name]: file.size for file in found if file.name in present}
        self._find(files.unmoved, unidentified, sizes, present)
        # Copies go before numbers: a copy may have got the number of a deleted file.
        self._find_copies(unidentified, sizes, present)
        for find in (files.same_file, files.same_name, files.same_content):
            self._find(find, unidentified, sizes, present)
        self._find_copies(unidentified, sizes, present)
        for one in unidentified:
            key = self._add(one, now_s)
            present[one.found.name], sizes[key] = key, one.found.size
        for file in found:
            if file.name in present:
                self._renew(present[file.name], file, sizes)
        self._forget(present)
        self._present = present
        return present

    def opened(self, file: Found, beginning: bytes, now_s: float) -> int:
        """The key of a present file that was opened; a new key if the file was rewritten since `update()`."""
        key = self._present[file.name]
        if files.fits(self.positions[key], file.size, beginning):
            self._beginnings[key] = beginning
        else:
            key = self._present[file.name] = self._add(_Unidentified(file, beginning), now_s)
        return key

    def read_to(self, key: int, offset: int) -> None:
        """Note that the file was read up to `offset`."""
        self.positions[key] = self.position(key, offset)

    def position(self, key: int, offset: int) -> LogPosition:
        """The position of a known file as it is, or was, at `offset`."""
        position = self.positions[key]
        if offset == position.offset:
            return position
        head = position.head
        if offset < files.HEAD_BYTES or head.length < files.HEAD_BYTES:
            head = files.head_of(self._beginnings.get(key, b""), offset)
        return position._replace(offset=offset, head=head)

    def _find(
        self, find: _Find, unidentified: list[_Unidentified], sizes: dict[int, int], present: dict[str, int]
    ) -> None:
        """Remove each unidentified file that this rule recognises as an absent one; note it as present."""
        absent = {key: position for key, position in self.positions.items() if key not in sizes}
        for one in list(unidentified):
            if (key := find(one.found, one.beginning, absent)) is not None:
                del absent[key]
                unidentified.remove(one)
                present[one.found.name], sizes[key] = key, one.found.size
                self._beginnings[key] = one.beginning
                self._call(key, one.found)

    def _find_copies(
        self, unidentified: list[_Unidentified], sizes: dict[int, int], present: dict[str, int]
    ) -> None:
        """Remove each unidentified file that is a copy: a followed file has everything that is in it."""
        followed = [key for key in sizes if key not in self._copies] if unidentified else []
        beginnings = {key: self._beginning_of(self.positions[key].name) or b"" for key in followed}
        for one in list(unidentified):
            for original in followed:
                if one.found.size <= sizes[original] and files.is_alike(one.beginning, beginnings[original]):
                    unidentified.remove(one)
                    key = self._new(one, one.found.size)
                    self._copies[key] = original
                    present[one.found.name], sizes[key] = key, one.found.size
                    break

    def _call(self, key: int, file: Found) -> None:
        position = self.positions[key]
        if position.name != file.name:
            logger.info("%s is now %s", position.name, file.name)
        if (position.name, position.file_id) != (file.name, file.file_id):
            self.positions[key] = position._replace(name=file.name, file_id=file.file_id)

    def _add(self, one: _Unidentified, now_s: float | None) -> int:
        """A new key for an unknown file."""
        if now_s is None:
            return self._new(one, one.found.size)
        for key, position in self.positions.items():
            if files.is_alike(one.beginning, self._beginnings.get(key, b"")):  # what both have was sent
                return self._new(one, min(one.found.size, position.offset))
        logger.info("follows %s", one.found.name)
        return self._new(one, 0 if files.is_new(one.found, now_s) else one.found.size)

    def _new(self, one: _Unidentified, offset: int) -> int:
        key, self._next_key = self._next_key, self._next_key + 1
        head = files.head_of(one.beginning, offset)
        self.positions[key] = LogPosition(one.found.name, one.found.file_id, offset, head)
        self._beginnings[key] = one.beginning
        return key

    def _renew(self, key: int, file: Found, sizes: Mapping[int, int]) -> None:
        """Note the name and size of a known file. A copy that is still being written has nothing new."""
        self._call(key, file)
        self._seen[key] = file
        original = self._copies.get(key)
        if original is None or file.size == self.positions[key].offset:
            return
        beginning = self._beginning_of(file.name) or b""
        its_beginning = self._beginning_of(self.positions[original].name) or b""
        if file.size <= sizes.get(original, 0) and files.is_alike(beginning, its_beginning):
            self._beginnings[key] = beginning
            self.read_to(key, file.size)
        else:
            del self._copies[key]

    def _forget(self, present: dict[str, int]) -> None:
        here = set(present.values())
        absent = [key for key in self.positions if key not in here]
        for key in absent[: max(0, len(absent) - MAX_ABSENT)]:
            del self.positions[key]
            self._beginnings.pop(key, None)
            self._seen.pop(key, None)
            self._copies = {copy: of for copy, of in self._copies.items() if key not in (copy, of)}
