"""HTML from templates in which everything is escaped unless it is HTML already. Pure.

Most of what the page shows was written by players.
"""

import re
from collections.abc import Iterable
from html import escape
from typing import Any

# What moves the text around it, hides in it or ends a line: shown, not obeyed.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)


class Html(str):
    """Text that is HTML: made by `html` only."""

    __slots__ = ()


def html(template: str, **values: Any) -> Html:
    """The template with each {name} replaced. Strings are escaped, for attributes in double quotes too;
    None is nothing; of lists all parts are put in."""
    return Html(template.format_map({name: _safe(value) for name, value in values.items()}))


def _safe(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Html):
        return value
    if isinstance(value, Iterable) and not isinstance(value, str):
        return "".join(map(_safe, value))
    return escape(_UNSEEN.sub(_shown, str(value)))


def _shown(unseen: re.Match[str]) -> str:
    code = ord(unseen[0])
    return chr(0x2400 + code) if code < 0x20 else f"\\u{code:04x}"
