"""Repairs broken JSON, as mods build it by joining strings (protocol.md M8).

It only runs if a strict reader has refused the text, so it costs nothing for a mod that writes good JSON.
Each pass takes time in proportion to the length of the text.
"""

import json
import re
from math import isfinite
from typing import Any

import orjson

MAX_DEPTH = 32
"""Number of levels that are repaired. Events and results have a handful; more than this is an attack."""

MAX_REPAIR_CHARS = 256 * 1024
"""Length of a body that is repaired token by token (about 0.3 s). A listItems answer may be much longer: it
is read anyway, unless its quotes or commas are wrong, and no known mod does that."""

_BACKSLASH = re.compile(
    r'\\(?:["\\/bfnrt]'
    r"|u(?![dD][89a-fA-F])[0-9a-fA-F]{4}"
    r"|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})?"
)
_TOKEN = re.compile(r'\s*+(["{}\[\],:]|[^\s,:{}\[\]"]++)')
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_NOTHING = re.compile(r"[+-]?(?:nan|inf|[0-9]\.#|null|none)", re.IGNORECASE)

# A quote ends a value if structure follows it: closing brackets up to the end of the text, the next key, or
# the next object of a list. After a quote inside a chat line, more chat follows. `*+` does not backtrack:
# otherwise a hostile text would take quadratic time.
_KEY_END = re.compile(r'(?<=")[^"\\\x00-\x1f]{0,64}+"(?=\s*+:)')
_VALUE_END = re.compile(r'"(?=\s*+(?:\Z|[,}\]][\s,}\]]*+(?:\Z|"[^"\\\n]{1,64}+"\s*+:|\{\s*+["}])))')
_ITEM_END = re.compile(r'"(?=\s*+(?:\Z|[,\]]))')
_IN_STRING = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})|["\\\x00-\x1f]')


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object. A repeated key with different values gets the list of all of them: a player's text may have
    inserted one, and nobody knows which."""
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    given: dict[str, list[Any]] = {}
    for key, one in pairs:
        given.setdefault(key, []).append(one)
    return {key: ones[0] if all(one == ones[0] for one in ones) else ones for key, ones in given.items()}


# Accepts raw control characters inside strings; NaN and infinity become null.
_LENIENT = json.JSONDecoder(strict=False, parse_constant=lambda _: None, object_pairs_hook=_object)


def clean(body: bytes) -> str:
    r"""The text of a body without a byte order mark, NULs at the end, bytes that are not UTF-8,
    and backslashes that escape nothing (`C:\dayz`, half a surrogate pair)."""
    text = body.decode("utf-8", "replace").lstrip("\ufeff \t\r\n").rstrip("\0 \t\r\n")
    return _BACKSLASH.sub(lambda found: found[0] if len(found[0]) > 1 else r"\\", text)


def load(text: str, may_repair: bool) -> tuple[Any, str]:
    """The first value of a cleaned text, and the text behind it without closing brackets.

    If `may_repair`, broken JSON is repaired. Raises ValueError if nothing can be read.
    """
    try:
        return decode(text)
    except ValueError:
        if not may_repair:
            raise
        return decode(repair(text))


def decode(text: str) -> tuple[Any, str]:
    """Like `load`, for a text that is JSON apart from raw control characters and NaN."""
    try:
        value, end = _LENIENT.raw_decode(text)
        orjson.dumps(value)  # raises for an integer beyond 64 bits, and for more levels than orjson writes
    except (RecursionError, TypeError):
        raise ValueError("nested too deeply, or a number too long") from None
    return value, _rest(text, end)


def repair(text: str) -> str:
    """Repairs a text token by token: escapes quotes inside strings, writes odd numbers plainly, drops extra
    commas, adds brackets that are missing at the end.

    It does not check that the result is JSON; the caller reads it. Raises ValueError if a string has no end,
    brackets do not match, or a word means nothing.
    """
    out: list[str] = []
    closing: list[str] = []  # the brackets that must still close, the innermost last
    at = 0
    while (found := _TOKEN.match(text, at)) is not None:
        token, at = found[1], found.end()
        match token:
            case '"':
                at = _copy_string(text, at, out, in_list=closing[-1:] == ["]"])
            case ":":
                out.append(token)
            case ",":
                _end_member(out)
                out.append(token)
            case "{" | "[":
                closing.append("}" if token == "{" else "]")
                if len(closing) > MAX_DEPTH:
                    raise ValueError("nested too deeply")
                out.append(token)
            case "}" | "]":
                if not closing or closing.pop() != token:
                    raise ValueError("brackets do not match")
                _end_member(out)
                out.append(token)
            case _:
                out.append(_bare(token))
        if not closing:
            break
    if _rest(text, at):
        raise ValueError("something stands behind the value")
    while closing:
        _end_member(out)
        out.append(closing.pop())
    return "".join(out)


def _copy_string(text: str, at: int, out: list[str], in_list: bool) -> int:
    """Appends the string whose opening quote is just before `at` to `out`; returns where it ends."""
    is_key = not in_list and out[-1:] in (["{"], [","])
    if is_key:
        end = _KEY_END.match(text, at)
        stop = end.end() - 1 if end else 0
    else:
        end = (_ITEM_END if in_list else _VALUE_END).search(text, at)
        stop = end.start() if end else 0
    if end is None:
        raise ValueError("a string has no end")
    out.append('"' + _IN_STRING.sub(_escaped, text[at:stop]) + '"')
    return stop + 1


def _escaped(found: re.Match[str]) -> str:
    return found[0] if len(found[0]) > 1 else f"\\u{ord(found[0]):04x}"


def _end_member(out: list[str]) -> None:
    """Before a comma or closing bracket: drops a comma without a value behind it, adds a missing value."""
    if out[-1:] == [","]:
        out.pop()
    elif out[-1:] == [":"]:
        out.append("null")


def _bare(token: str) -> str:
    """A word outside quotes as JSON: a number, true, false or null."""
    if token.lower() in ("true", "false"):
        return token.lower()
    if _NOTHING.match(token):
        return "null"
    if _INTEGER.fullmatch(token):
        return str(int(token))
    try:
        value = float(token)
    except ValueError:
        raise ValueError(f"{token[:40]!r} is no JSON value") from None
    return repr(value) if isfinite(value) else "null"


def _rest(text: str, at: int) -> str:
    return text[at:].strip(" \t\r\n\0,}]")
