"""Takaro's texts, made fit for a log, a page or an answer. Pure."""

from typing import Any

import orjson

TEXT_LIMIT = 300  # characters that are kept of a peer's text, before it goes into a log, a page or an answer


def one_line(text: str) -> str:
    """`text` as one line of at most TEXT_LIMIT printable characters."""
    shown = "".join(char if char.isprintable() else " " for char in text[: 2 * TEXT_LIMIT])
    return " ".join(shown.split())[:TEXT_LIMIT]


def decoded(error: Any) -> Any:
    """The error object, also if it was encoded twice; None if it cannot be read."""
    if isinstance(error, str) and error.lstrip().startswith(("{", "[")):
        try:
            return orjson.loads(error)
        except orjson.JSONDecodeError:
            return None
    return error


def message_of(error: Any) -> str:
    """Only the text of an error: its other fields may hold our tokens, or a credential of Takaro's."""
    if isinstance(error, dict):
        error = error.get("message") or error.get("error") or error.get("name")
    return one_line(error) if isinstance(error, str) else ""
