"""How a bench is run: shortened or in full, and on which tree."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Plan:
    """`quick`: seconds instead of minutes. `tree`: a working tree whose services are measured, with the
    Python of its .venv; None is this tree. The load and the store are always this tree's."""

    quick: bool = False
    tree: Path | None = None
