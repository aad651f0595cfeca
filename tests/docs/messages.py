"""Every text that the code may show to a person: log lines from warning on, errors, refusals.

Read from the source, so that a new one is seen without being listed anywhere. What is filled in is `…`.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

SERVICES = Path(__file__).parents[2] / "services"
LEVELS = {"warning", "error", "critical", "exception"}
ERRORS = {
    "ConfigError",
    "AddressInUse",
    "StoreError",
    "NotCarriedOut",
    "StoreRefused",
    "InstanceConflict",
    "RotationUnderWay",
    "IdempotencyConflict",
    "NoSuchInstance",
    "TooFewReplicas",
    "RelayAway",
}
VALUES = ("relay/service/settings_values.py", "relay/store/url.py")
"""Where a ValueError, or the rule of a check, says what is wrong with a setting."""


@cache
def texts() -> dict[str, str]:
    """Text -> the file it is in."""
    found: dict[str, str] = {}
    for path in sorted(SERVICES.rglob("*.py")):
        where = path.relative_to(SERVICES).as_posix()
        if not where.startswith("sim/"):  # the simulators are peers, not the relay
            errors = ERRORS | ({"ValueError"} if where in VALUES else set())
            found |= dict.fromkeys(_of(ast.parse(path.read_text()), errors), where)
    return found


def _of(tree: ast.Module, errors: set[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr=name), args=[_, *_]) if _says(node.func, name):
                for argument in node.args:
                    yield from _text(argument)
            case ast.Call(func=ast.Name(id=name), args=[first, *_]) if name in errors:
                yield from _text(first)
            case ast.Call(func=ast.Name(id="_must" | "_up_to"), args=[_, rule]) if "ValueError" in errors:
                yield from _text(rule)
            case ast.Call(func=ast.Name(id="_failure"), args=[_, second]):
                yield from _text(second)
            case ast.Call(func=ast.Name(id="Outcome"), keywords=[ast.keyword(arg="error", value=text)]):
                yield from _text(text)
            case ast.Call(func=ast.Name(id="Refusal"), keywords=[ast.keyword(arg="log", value=text)]):
                yield from _text(text)
            case ast.Assign(targets=[ast.Name(id="_WORDS")], value=ast.Dict(values=values)):
                for value in values:
                    yield from _text(value)


def _says(function: ast.expr, name: str) -> bool:
    owner = ast.unparse(function).rpartition(".")[0]
    if name in LEVELS:
        return "log" in owner.lower()
    if name == "log" and owner.endswith("callers"):
        return True
    return name in ("_report", "report") or (name == "append" and owner.endswith((".problems", ".warnings")))


def _text(node: ast.expr) -> Iterator[str]:
    """What a literal says; nothing for what is made elsewhere."""
    match node:
        case ast.Constant(value=str(text)):
            shown = re.sub(r"%[-.\d]*[a-z]|\{[a-z_]+(?::[^}]*)?\}", "…", text)
        case ast.JoinedStr(values=parts):
            shown = "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts)
        case ast.IfExp(body=first, orelse=other):
            yield from _text(first)
            yield from _text(other)
            return
        case _:
            return
    shown = " ".join(shown.split())
    if len(re.findall(r"[a-z]{2,}", shown)) > 1:  # "…: …" says nothing by itself
        yield shown
