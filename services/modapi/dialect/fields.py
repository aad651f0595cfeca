"""Reads single values of mods into values that Takaro's validation accepts (protocol.md M8).

Each reader takes any JSON value, returns a valid value, "" or None, and never raises.
"""

import re
import unicodedata
from math import isfinite
from typing import Any

NAME_CHARS = 100
MESSAGE_CHARS = 4_096
DEFAULT_NAME = "Survivor"  # the name that the engine gives to a player who has not chosen one

FARTHEST_M = 1_000_000.0
"""Greatest coordinate. No DayZ map is a tenth as wide, so a greater number is not a position."""

# Control characters break Postgres (NUL), log lines and consoles; direction marks reverse the text around
# them on every page; a lone surrogate cannot be encoded.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSAFE_BUT_LINES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# Categories of characters that are invisible by themselves: controls, formats, combining marks, spaces.
_BLANK_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Mc", "Me", "Mn", "Zl", "Zp", "Zs"})
# Fillers, blanks and tags that are invisible, although their category is letter, symbol or unassigned.
_BLANK = re.compile(
    "[\u115f\u1160\u2065\u2800\u3164\uffa0\ufff0-\ufff8\U00013441\U00013442\U0001d159\U000e0000-\U000e0fff]"
)
_ADDRESS = re.compile("[0-9A-Fa-f.:]{2,45}")
_PLATFORM_ID = re.compile("[A-Za-z0-9_-]{1,64}:[A-Za-z0-9_-]{1,128}")
_BIS_ID = re.compile("[A-Za-z0-9+/_-]{43}=?")
_PLACEHOLDERS = frozenset({"", "0", "unknown", "n/a", "null", "undefined", "none"})
_TRUE = frozenset({"1", "true", "yes"})
_WORD_CHARS = 200


def line(value: Any, limit_chars: int = MESSAGE_CHARS) -> str:
    """A text or number as one line, cut to the limit; "" for any other value."""
    if type(value) is not str:
        value = _scalar(value)
    if len(value) > limit_chars:
        value = value[:limit_chars]
    return value if value.isprintable() else _UNSAFE.sub(" ", value)


def message(value: Any) -> str:
    """A line; "" if no character of it is visible."""
    text = line(value)
    return text if "!" <= text[:1] <= "~" or not is_blank(text) else ""


def lines(value: Any, limit_chars: int) -> str:
    """Like `line`, with line breaks and tabs kept."""
    return _UNSAFE_BUT_LINES.sub(" ", _scalar(value)[:limit_chars])


def word(value: Any) -> str:
    """A short single-line text without blanks around it: an id, a class name, a player's name."""
    return line(value, _WORD_CHARS).strip()


def number(value: Any) -> int | float | None:
    """A finite number below 2**53, also when it is written as a string; a boolean is not a number."""
    if type(value) is str:
        # float() also reads "1_0", which no mod means; no number of the engine has 40 characters.
        if len(value) > 40 or "_" in value:
            return None
        try:
            value = float(value)
        except ValueError:
            return None
        if value.is_integer():
            value = int(value)
    if type(value) not in (int, float):
        return None
    return value if abs(value) < 2**53 else None  # also None for NaN


def flag(value: Any) -> bool:
    """Whether the value is true, 1, "1", "true" or "yes", as mods write it."""
    if type(value) is str:
        return value.strip().lower() in _TRUE
    return value is True or (type(value) in (int, float) and value == 1)


def position(value: Any) -> dict[str, int | float] | None:
    """`{x, y, z}` in metres (y is the height) from an object or `[x, y, z]`; None if it can be on no map."""
    if type(value) is dict:
        value = [value.get("x"), value.get("y"), value.get("z")]
    if type(value) is not list or len(value) != 3:
        return None
    x, y, z = map(number, value)
    if x is None or y is None or z is None or max(abs(x), abs(y), abs(z)) > FARTHEST_M:
        return None
    return {"x": x, "y": y, "z": z}


def steam_id(value: Any) -> str | None:
    """A Steam64 id: 17 digits, perhaps with blanks around them."""
    text = word(value)
    return text if len(text) == 17 and text.isascii() and text.isdigit() else None


def platform_id(value: Any) -> str | None:
    """An id that fits Takaro's pattern; a bare BIS id becomes `dayz:<id without padding>`.

    None for `steam:<id>`: mods make it up from the Steam id of a player whose identity is missing. It would
    replace the `dayz:` id, by which we find the player at a disconnect.
    """
    if type(value) is not str or value.lower() in _PLACEHOLDERS or value.lower().startswith("steam:"):
        return None
    text = value.rstrip("=").replace("+", "-").replace("/", "_")
    if ":" not in text:
        if not is_bis_id(text):
            return None
        text = "dayz:" + text
    if _PLATFORM_ID.fullmatch(text) is None or text.partition(":")[2].lower() in _PLACEHOLDERS:
        return None
    return text


def is_bis_id(text: str) -> bool:
    """Whether this is a BIS id: 43 base64 characters, with or without a padding character."""
    return 43 <= len(text) <= 44 and _BIS_ID.fullmatch(text) is not None


def game_id(value: Any) -> str:
    """An id that names a player, or ""."""
    text = word(value)
    return "" if text.lower() in _PLACEHOLDERS else text


def name(value: Any, *ids: str | None) -> str:
    """A player's name as it may be shown; "" if it is invisible, or one of the player's own `ids`: mods write
    an id if they do not know the name."""
    text = line(value, NAME_CHARS).strip()
    return "" if text in ids or is_blank(text) else text


def is_blank(text: str) -> bool:
    return all(unicodedata.category(char) in _BLANK_CATEGORIES or _BLANK.match(char) for char in text)


def address(value: Any) -> str | None:
    """An IP address; a port behind an IPv4 address is cut off."""
    text = word(value)
    if text.count(":") == 1:
        text = text.partition(":")[0]
    return text if _ADDRESS.fullmatch(text) else None


def _scalar(value: Any) -> str:
    if type(value) is str:
        return value
    if type(value) is int and abs(value) < 2**63:
        return str(value)
    if type(value) is float and isfinite(value):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else str(value)
    return ""
