"""Bytes of a log file into lines of text. Pure."""

import re
from collections.abc import Iterator

MAX_LINE_BYTES = 4096
"""A longer line goes on as the next one. The relay keeps 4,096 characters of a text."""

_BOM = b"\xef\xbb\xbf"
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]+")
_NOT_UTF8 = re.compile("[\udc80-\udcff]+")


def split(data: bytes, *, ended: bool) -> Iterator[tuple[bytes, int]]:
    """Each line that is whole, and where it ends in `data`. What is behind the last comes again with more.

    `ended`: no more will come, so the last line is whole as it is. However a file is cut into `data`, if each
    begins where a line ended, the lines are the same.
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
    """The text of a line, "" for an empty one: UTF-8, and Windows-1252 for the bytes that cannot be UTF-8."""
    text = line.removeprefix(_BOM).decode("utf-8", "surrogateescape")
    return _CONTROL.sub(" ", _NOT_UTF8.sub(_from_windows, text)).strip()


def _from_windows(found: re.Match[str]) -> str:
    return found[0].encode("utf-8", "surrogateescape").decode("cp1252", "replace")


def _between_characters(data: bytes, end: int) -> int:
    """The last place up to `end` that is not within a character of UTF-8."""
    for place in range(end, end - 4, -1):
        if data[place] & 0xC0 != 0x80:
            return place
    return end
