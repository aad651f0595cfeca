"""Reads a list of regular expressions, separated by commas. Pure."""

import re

_CLASS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]?", re.DOTALL)
_BRACES = re.compile(r"\{[^}]*\}")


def split_patterns(text: str) -> list[str]:
    r"""The expressions of a list, without blanks around them; empty ones are left out.

    A comma within `{}`, `[]` or `()`, or behind a backslash, belongs to its expression and does not separate.
    An expression with a bracket that is never closed takes the rest of the text. It does not compile, so the
    caller can show it as it was written.
    """
    parts = [""]
    at = depth = 0
    while at < len(text):
        char = text[at]
        end = at + (2 if char == "\\" else 1)
        if found := _CLASS.match(text, at) or _BRACES.match(text, at):
            end = found.end()
        depth = max(0, depth + (char == "(") - (char == ")"))
        if char == "," and not depth:
            parts.append("")
        else:
            parts[-1] += text[at:end]
        at = end
    return [part.strip() for part in parts if part.strip()]
