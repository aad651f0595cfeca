"""`dayz-relay check`: prints the settings in effect as in relay.toml, with secrets masked."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from services.cli.terminal import runnable
from services.relay.service.settings import NO_INSTANCE, Settings, masked


def run(settings: Settings, warnings: Iterable[str]) -> None:
    """Print the effective settings, the warnings, and "ok"."""
    for section, content in masked(settings).items():
        for table in content if isinstance(content, list) else [content]:
            print(f"[[{section}]]" if isinstance(content, list) else f"[{section}]")
            print(*_lines(table), "", sep="\n")
    if not settings.instances:
        print(f"note: {runnable(NO_INSTANCE)}")
    for warning in warnings:
        print(f"warning: {runnable(warning)}")
    print("ok")


def _lines(table: Mapping[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        if value is None or value == []:
            yield f"# {key} is not set"
        else:
            yield f"{key} = {json.dumps(value, ensure_ascii=False)}"
