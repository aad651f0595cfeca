"""Splits the bytes of a log file into lines of text. Pure."""

import re
from collections.abc import Iterator

MAX_LINE_BYTES = 4096  # a longer line is split into several. The relay keeps 4,096 characters of a text.

_BOM = b"\xef\xbb\xbf"
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]+")
_NOT_UTF8 = re.compile("[\udc80-\udcff]+")


def split(data: bytes, *, ended: bool) -> Iterator[tuple[bytes, int]]:
    """Each complete line, and where it ends in `data`. The caller reads the rest again, with more behind it.

    `ended`: nothing more will be written, so the last line needs no line break. The lines do not depend on
    how much is read at a time, as long as each read begins where a line ended.
    """
    start = 0
    while start < len(data):
        newline = data.find(b"\n", start, start + MAX_LINE_BYTES)
        if newline >= 0:
            end = newline + 1
        elif len(data) > start + MAX_LINE_BYTES:
            end = _between_characters(data, start + MAX_LINE_BYTES)
        elif ended:
            end = len(data)
        else:
            return
        yield data[start:end], end
        start = end


def text_of(line: bytes) -> str:
    """The text of a line, "" for an empty one. Bytes that are not UTF-8 are read as Windows-1252."""
    text = line.removeprefix(_BOM).decode("utf-8", "surrogateescape")
    return _CONTROL.sub(" ", _NOT_UTF8.sub(_from_windows, text)).strip()


def _from_windows(found: re.Match[str]) -> str:
    return found[0].encode("utf-8", "surrogateescape").decode("cp1252", "replace")


def _between_characters(data: bytes, end: int) -> int:
    """The last place up to `end` that does not split a UTF-8 character."""
    for place in range(end, end - 4, -1):
        if data[place] & 0xC0 != 0x80:
            return place
    return end
