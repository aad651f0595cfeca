"""The text that Rich prints for something, without colours."""

import io

from rich.console import Console, RenderableType


def shown(*parts: RenderableType, columns: int = 1_000) -> list[str]:
    """The lines of `parts` on a terminal of this width."""
    console = Console(file=io.StringIO(), width=columns, color_system=None, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(*parts, sep="\n")
    return [line.rstrip() for line in captured.get().splitlines()]
