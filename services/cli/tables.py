"""Tables and colours by Rich: for people at a terminal. Through a pipe go plain lines that `grep` can use."""

import os
import sys
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.status import Status
from rich.table import Table
from rich.text import Text

from services.cli.terminal import safe

GAP = 2
NARROWEST = 20
"""Number of characters between columns, and of those that words need beside them."""


def console_for(stream: TextIO, environ: Mapping[str, str] = os.environ) -> Console:
    """Rich itself looks at NO_COLOR and TERM. FORCE_COLOR makes no terminal of a pipe."""
    return Console(
        file=stream,
        force_terminal=stream.isatty(),
        highlight=False,
        markup=False,
        emoji=False,
        _environ=environ,
    )


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows under their head. Where a terminal is narrow, the column `flexible` gives way.

    Rows without a head say most in that column: if it has no room, they are wrapped as a whole.
    """

    head: Sequence[str]
    cells: Sequence[Sequence[str | Text]]
    numbers: Container[str] = ()
    flexible: str = ""
    show_head: bool = True

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        columns = list(zip(self.head, self._widths(), strict=True))
        rows = [[cell if isinstance(cell, Text) else label(cell) for cell in row] for row in self.cells]
        fixed = sum(width + GAP for title, width in columns if title != self.flexible)
        if not self.show_head and fixed + NARROWEST > options.max_width:
            yield from (Text(" " * GAP).join(row) for row in rows)
            return
        made = Table(
            box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim", show_header=self.show_head
        )
        for title, widest in columns:
            flexible = title == self.flexible
            made.add_column(
                title,
                justify="right" if title in self.numbers else "left",
                no_wrap=not flexible,
                min_width=None if flexible else widest,
            )
        for row in rows:
            made.add_row(*row)
        yield made

    def lines(self) -> Iterator[str]:
        """The same without colours, as wide as it is. Rich would need a second for a thousand rows."""
        widths = self._widths()
        for row in (self.head, *self.cells) if self.show_head else self.cells:
            line = ""
            for cell, width, title in zip(map(str, row), widths, self.head, strict=True):
                text = safe(cell)
                room = " " * (width - cell_len(text))
                line += (room + text if title in self.numbers else text + room) + " " * GAP
            yield line.rstrip()

    def _widths(self) -> list[int]:
        rows = (self.head, *self.cells) if self.show_head else self.cells
        return [max(cell_len(safe(str(cell))) for cell in column) for column in zip(*rows, strict=True)]


Part = str | Text | Rows


def show(*parts: Part) -> None:
    """Print them below each other. Through a pipe nothing is wrapped, coloured, or cut to a width."""
    console = console_for(sys.stdout)
    if console.is_terminal:
        console.print(*parts, sep="\n")
        return
    for part in parts:
        print(*(part.lines() if isinstance(part, Rows) else [part]), sep="\n", flush=True)


def waiting_for(what: str) -> Status:
    """Show at a terminal what the command waits for, within a `with` block."""
    return console_for(sys.stderr).status(f"waiting for {what} …")


def label(text: str, style: str = "") -> Text:
    """One line of text that others may have written."""
    return Text(safe(text), style, no_wrap=True, overflow="ellipsis")


def cut(text: str, columns: int) -> str:
    """The text, cut to `columns` columns of a terminal."""
    shortened = Text(text)
    shortened.truncate(columns, overflow="ellipsis")
    return shortened.plain
