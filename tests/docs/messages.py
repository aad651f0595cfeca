"""Every text that the code may show to a person: log lines from warning on, and the errors that end a command.

Read from the source, so that a new one is seen without being listed anywhere. What is filled in is `…`.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SERVICES = Path(__file__).parents[2] / "services"
LEVELS = {"warning", "error", "critical", "exception"}
ERRORS = {"ConfigError", "StoreError", "StoreRefused"}


def texts() -> dict[str, str]:
    """Text -> the file it is in."""
    found: dict[str, str] = {}
    for path in sorted(SERVICES.rglob("*.py")):
        where = path.relative_to(SERVICES).as_posix()
        if not where.startswith("sim/"):  # the simulators are peers, not the relay
            found |= dict.fromkeys(_of(ast.parse(path.read_text())), where)
    return found


def _of(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            match node.func:
                case ast.Attribute(attr=name) if name in LEVELS and "log" in ast.unparse(node.func.value):
                    yield from _text(node.args[0])
                case ast.Attribute(attr="_say"):
                    for argument in node.args:
                        yield from _text(argument)
                case ast.Name(id=name) if name in ERRORS:
                    yield from _text(node.args[0])


def _text(node: ast.expr) -> Iterator[str]:
    """What a literal says; nothing for what is made elsewhere."""
    match node:
        case ast.Constant(value=str(text)):
            shown = re.sub(r"%[-.\d]*[a-z]", "…", text)
        case ast.JoinedStr(values=parts):
            shown = "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts)
        case ast.IfExp(body=first, orelse=other):
            yield from _text(first)
            yield from _text(other)
            return
        case _:
            return
    shown = " ".join(shown.split())
    if len(re.findall(r"[a-z]{2,}", shown)) > 2:  # "…: …" says nothing by itself
        yield shown
