"""Reads the end of a ban as mods and Takaro write it. Pure."""

import contextlib
import re
from datetime import UTC, datetime
from typing import Any

PERMANENT_FROM_YEAR = 2500
"""An end in this year or later is permanent: Takaro writes "for ever" as 3021 (protocol.md T15)."""

_NEVER = frozenset({"", "0", "-1", "null", "none", "never", "permanent"})
_EARLIEST_S = 1e9  # the year 2001: a smaller number is the length of a ban, or not a time
_MILLISECONDS_FROM = 1e12  # the year 2001 in ms; in seconds, a year that has five digits
_LONGEST_CHARS = 40
_COMPACT, _COMPACT_DIGITS = "%Y%m%d%H%M%S", 14  # as milliseconds they are a moment after the year 2286
_ZONE = re.compile(r"\s*(?:UTC|GMT)$", re.IGNORECASE)
_DOTTED = re.compile(r"^(\d{4})\.(\d{1,2})\.(\d{1,2})\b")
_LONE_DIGIT = re.compile(r"(?<![\d.])\d(?!\d)")  # fromisoformat takes no number without a leading zero


def read_end(value: Any) -> datetime | None:
    """The moment in UTC; None means "never": no value, 0, or a date in the far future.

    Reads ISO 8601, also without leading zeros, 14 digits (20300105010203), and seconds or milliseconds since
    1970 as a number or a text. A moment without a time zone is in UTC. Raises ValueError for anything else:
    otherwise a ban with a broken date would become permanent.
    """
    if isinstance(value, str):
        text = value.strip()
        if len(text) > _LONGEST_CHARS:
            raise ValueError("it is not a date")
        if text.lower() in _NEVER:
            return None
        try:
            value = float(text)
        except ValueError:
            return _from_text(text)
    if not value or value == -1:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("it is not a date")
    return _from_number(value)


def iso(when: datetime) -> str:
    """A moment in UTC as ISO 8601 with a Z, to the second."""
    return when.isoformat(timespec="seconds").replace("+00:00", "Z")


def _from_number(number: float) -> datetime | None:
    if not number >= _EARLIEST_S:  # also true for NaN
        raise ValueError("it is not a date")
    if len(digits := f"{number:.0f}") == _COMPACT_DIGITS and digits.startswith("2"):
        with contextlib.suppress(ValueError):
            return _unless_permanent(datetime.strptime(digits, _COMPACT).replace(tzinfo=UTC))
    try:
        return _unless_permanent(
            datetime.fromtimestamp(number if number < _MILLISECONDS_FROM else number / 1000, UTC)
        )
    except (ValueError, OverflowError, OSError):
        return None  # beyond the year 9999


def _from_text(text: str) -> datetime | None:
    text = _DOTTED.sub(r"\1-\2-\3", _ZONE.sub("Z", text))
    read = _from_iso(text) or _from_iso(_LONE_DIGIT.sub(r"0\g<0>", text.replace("/", "-")))
    if read is not None:
        if read.year >= PERMANENT_FROM_YEAR:
            return None
        with contextlib.suppress(OverflowError):
            moment = read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
            if moment.timestamp() >= _EARLIEST_S:
                return moment
    raise ValueError("it is not a date")


def _from_iso(text: str) -> datetime | None:
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(text)
    return None


def _unless_permanent(moment: datetime) -> datetime | None:
    return moment if moment.year < PERMANENT_FROM_YEAR else None
