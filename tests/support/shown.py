"""What Rich makes of something, without colours."""

import io

from rich.console import Console, RenderableType


def shown(*parts: RenderableType, columns: int = 1_000) -> list[str]:
    """Its lines on a terminal of so many columns."""
    console = Console(file=io.StringIO(), width=columns, color_system=None, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(*parts, sep="\n")
    return [line.rstrip() for line in captured.get().splitlines()]
