"""Which files of a folder are known, and how far each was read. A file is recognised by its content and its
number, not by its name, so that a renamed or copied log is not sent again."""

import logging
from collections.abc import Callable, Collection, Iterable

from services.agent import files
from services.agent.files import Found, KnownFile, LogPosition

MAX_ABSENT = 100  # number of deleted files that are remembered: one may come back under another name

_Unidentified = dict[Found, bytes]
"""Files that may differ from those that are known by their names, with their beginnings."""

logger = logging.getLogger(__name__)


class KnownFiles:
    """`beginning_of(name)` reads the first HEAD_BYTES of a file; None: it cannot be read now."""

    def __init__(self, positions: Iterable[LogPosition], beginning_of: Callable[[str], bytes | None]) -> None:
        self.files = [KnownFile(position) for position in positions]
        self._beginning_of = beginning_of
        self._present = {file.position.name: file for file in self.files}

    def has(self, found: Found) -> bool:
        """Whether this file is known by this name."""
        file = self._present.get(found.name)
        return file is not None and file.position.file_id == found.file_id

    def update(self, found: Collection[Found], now_s: float | None) -> dict[str, KnownFile]:
        """All files that can be read, by name. Without `now_s` no new file is read from its start."""
        present: dict[str, KnownFile] = {}
        unidentified: _Unidentified = {}
        for one in found:
            file = self._present.get(one.name)
            if file is not None and file.seen == one:
                present[one.name] = file
            elif (beginning := self._beginning_of(one.name)) is not None:
                unidentified[one] = beginning
        self._find(files.unmoved, unidentified, present)
        # Copies go before numbers: a copy may have got the number of a deleted file.
        self._find_copies(unidentified, present)
        for rule in (files.same_file, files.same_name, files.same_content):
            self._find(rule, unidentified, present)
        self._find_copies(unidentified, present)
        for one, beginning in unidentified.items():
            present[one.name] = self._add(one, beginning, now_s)
        for file in present.values():
            self._renew(file, present.values())
        self._forget(present.values())
        self._present = present
        return present

    def opened(self, found: Found, beginning: bytes, now_s: float) -> KnownFile:
        """A present file that was opened; a new one if the file was rewritten since `update()`."""
        file = self._present[found.name]
        if files.fits(file.position, found.size, beginning):
            file.beginning = beginning
        else:
            file = self._present[found.name] = self._add(found, beginning, now_s)
        return file

    def _find(self, rule: files.Rule, unidentified: _Unidentified, present: dict[str, KnownFile]) -> None:
        """Removes each unidentified file that this rule recognises as an absent one; notes it as present."""
        here = set(present.values())
        absent = [file for file in self.files if file not in here] if unidentified else []
        for found, beginning in list(unidentified.items()):
            alike = [
                file
                for file in absent
                if rule(file.position, found) and files.fits(file.position, found.size, beginning)
            ]
            if not alike:
                continue
            # Of logs that were put back to an earlier state, the last one that became known is there now.
            by_content = rule is files.same_content
            file = max(alike, key=lambda file: file.position.offset) if by_content else alike[-1]
            absent.remove(file)
            del unidentified[found]
            if file.position.name != found.name:
                logger.info("%s is now %s", file.position.name, found.name)
            file.position = file.position._replace(name=found.name, file_id=found.file_id)
            file.beginning, file.seen = beginning, found
            present[found.name] = file

    def _find_copies(self, unidentified: _Unidentified, present: dict[str, KnownFile]) -> None:
        """Removes each unidentified file that is a copy: a followed file has everything that is in it."""
        followed = [file for file in present.values() if not file.original] if unidentified else []
        beginnings = {file: self._beginning_of(file.position.name) or b"" for file in followed}
        for found, beginning in list(unidentified.items()):
            for original in followed:
                if _has_all(original, beginnings[original], found, beginning):
                    del unidentified[found]
                    copy = present[found.name] = self._new(found, beginning, found.size)
                    copy.original = original
                    break

    def _add(self, found: Found, beginning: bytes, now_s: float | None) -> KnownFile:
        """Makes an unknown file known."""
        if now_s is None:
            return self._new(found, beginning, found.size)
        for file in self.files:
            if files.is_alike(beginning, file.beginning):  # their common part was sent
                return self._new(found, beginning, min(found.size, file.position.offset))
        logger.info("follows %s", found.name)
        return self._new(found, beginning, 0 if files.is_new(found, now_s) else found.size)

    def _new(self, found: Found, beginning: bytes, offset: int) -> KnownFile:
        position = LogPosition(found.name, found.file_id, offset, files.head_of(beginning, offset))
        file = KnownFile(position, beginning, found)
        self.files.append(file)
        return file

    def _renew(self, file: KnownFile, present: Collection[KnownFile]) -> None:
        """A copy that is still being written has nothing new."""
        original = file.original
        if original is None or file.seen is None or file.seen.size == file.position.offset:
            return
        beginning = self._beginning_of(file.position.name) or b""
        its_beginning = self._beginning_of(original.position.name) or b""
        if original in present and _has_all(original, its_beginning, file.seen, beginning):
            file.beginning = beginning
            file.read_to(file.seen.size)
        else:
            file.original = None

    def _forget(self, present: Collection[KnownFile]) -> None:
        here = set(present)
        absent = [file for file in self.files if file not in here]
        gone = set(absent[: max(0, len(absent) - MAX_ABSENT)])
        self.files = [file for file in self.files if file not in gone]


def _has_all(original: KnownFile, its_beginning: bytes, found: Found, beginning: bytes) -> bool:
    """Whether a present file has everything that is in the file that was found."""
    size = original.seen.size if original.seen else 0
    return found.size <= size and files.is_alike(beginning, its_beginning)
