"""The figures that a run has found: printed, and kept for SECURITY.md when the run was a full one."""

import os
from pathlib import Path

FILE = os.environ.get("HOSTILE_FIGURES", "")


def note(what: str, text: str) -> None:
    print(f"\n{what}: {text}")
    if FILE:
        with Path(FILE).open("a") as file:
            file.write(f"- {what}: {text}\n")
