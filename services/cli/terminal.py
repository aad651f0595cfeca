"""What commands write: colours for people at a terminal, plain text for whoever reads a pipe."""

import contextlib
import os
import re
import shlex
import shutil
import sys
import unicodedata
from collections.abc import Container, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import orjson

from services.relay.protocol.errors import ConfigError
from services.relay.service import logs
from services.relay.service.durations import span

NAME = "dayz-relay"

RED, GREEN, YELLOW, DIM, BOLD = "31", "32", "33", "2", "1"


class Paint:
    """Colours a text, or does not."""

    def __init__(self, on: bool) -> None:
        self.on = on

    @classmethod
    def of(cls, stream: TextIO, environ: Mapping[str, str] = os.environ) -> "Paint":
        """Colours only for a terminal that bears them, and for nobody who has set NO_COLOR."""
        wanted = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        return cls(wanted and stream.isatty())

    def __call__(self, text: str, *codes: str) -> str:
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if self.on and codes and text else text


Cell = str | tuple[str, str]
"""A text, or a text and its colour."""


def table(
    head: Sequence[str], rows: Sequence[Sequence[Cell]], paint: Paint, numbers: Container[str] = ()
) -> list[str]:
    """Rows under their head, in columns. Those of `numbers` end at the same place."""
    plain = [[cell if isinstance(cell, tuple) else (cell, "") for cell in row] for row in rows]
    widths = [
        max(map(width, (title, *(row[column][0] for row in plain)))) for column, title in enumerate(head)
    ]
    lines = [[(title, DIM) for title in head], *plain]
    return [
        "  ".join(
            _padded(text, colour, to, paint, right=title in numbers)
            for (text, colour), to, title in zip(row, widths, head, strict=True)
        ).rstrip()
        for row in lines
    ]


safe = logs.printable


def width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def cut(text: str, columns: int) -> str:
    """At most so many columns of it."""
    if width(text) <= columns:
        return text
    while width(text) > columns - 1:
        text = text[:-1]
    return text + "\N{HORIZONTAL ELLIPSIS}"


def many(number: int, what: str) -> str:
    """ "1 note", "2 notes"."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def ago(seconds: float | None) -> str:
    """How long ago: "3 s", "5 min", "2 h", "4 d", "never"."""
    if seconds is None:
        return "never"
    return span(seconds)


def clock(at_ms: int) -> str:
    """A time of day here."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC).astimezone():%H:%M:%S}"


def date(at_ms: float) -> str:
    """A date and time of day here, and what time is meant."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC).astimezone():%Y-%m-%d %H:%M:%S %Z}"


def moment(at_ms: int) -> str:
    """A date and time, for programs."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def print_json(value: object, *, indent: bool = True) -> None:
    """One JSON text; lines of a stream are not indented."""
    option = orjson.OPT_UTC_Z | (orjson.OPT_INDENT_2 if indent else 0)
    print(orjson.dumps(value, option=option).decode(), flush=True)


def program() -> str:
    """How this program was called: by its name, unless a shell finds none, or another, by that."""
    called, found = Path(sys.argv[0]), shutil.which(NAME)
    if called.name != NAME or (found and called.exists() and called.samefile(found)):
        return NAME
    return shlex.quote(sys.argv[0])


def runnable(text: str) -> str:
    """With the commands in it, which begin it or stand in backticks, as they have to be typed here."""
    return re.sub(f"(^|`){NAME} ", lambda found: f"{found[1]}{program()} ", text)


def is_meant(question: str, *, yes: bool) -> bool:
    """Does whoever calls want what cannot be undone? Asks a person; a program has to say `yes`.

    Raises ConfigError when nobody is there to be asked."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigError("nothing was deleted, for there is no terminal to ask at: add --yes if you mean it")
    with contextlib.suppress(EOFError):
        if input(f"{question} [y/N] ").strip().lower() in ("y", "yes"):
            return True
    print("nothing was deleted")
    return False


def complain(text: str) -> None:
    """One line on standard error."""
    print(f"{NAME}: {runnable(logs.clean(text))}", file=sys.stderr)


def _padded(text: str, colour: str, to: int, paint: Paint, *, right: bool) -> str:
    room = " " * (to - width(text))
    painted = paint(text, colour) if colour else text
    return room + painted if right else painted + room
