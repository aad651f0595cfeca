"""`dayz-relay check`: what is in effect, secrets masked, in the shape of relay.toml."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from services.relay.settings import Loaded, masked


def run(loaded: Loaded) -> None:
    """Print the effective settings, the warnings, and "ok"."""
    for section, content in masked(loaded.settings).items():
        for table in content if isinstance(content, list) else [content]:
            print(f"[[{section}]]" if isinstance(content, list) else f"[{section}]")
            print(*_lines(table), "", sep="\n")
    for warning in loaded.warnings:
        print(f"warning: {warning}")
    print("ok")


def _lines(table: Mapping[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        if value is None or value == []:
            yield f"# {key} is not set"
        else:
            yield f"{key} = {json.dumps(value, ensure_ascii=False)}"
