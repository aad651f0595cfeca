"""Puts the rows and lines of a bench into bench/RESULTS.md. The rest of the page stays as it is."""

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.result import Findings, Row
from tests.support.redis_server import binaries

RESULTS = Path(__file__).with_name("RESULTS.md")
_HEAD = "| bench | figure | target | measured | met | how |\n|---|---|---|---|---|---|\n"
_PACKAGES = ("redis", "websockets", "uvicorn", "uvloop", "httptools", "orjson", "fastapi")


def write(name: str, found: Findings, order: Sequence[str]) -> None:
    text = RESULTS.read_text()
    rows = _part(text, "figures").splitlines()
    of = {bench: [row for row in rows if row.startswith(f"| {bench} |")] for bench in order}
    of[name] = [_line(name, row) for row in found.rows]
    table = _HEAD + "\n".join(row for bench in order for row in of[bench]) + "\n"
    text = _put(text, "figures", table)
    stamp = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {_tree()}; {_machine()}"
    text = _put(text, name, f"{stamp}\n\n```\n" + "\n".join(found.lines) + "\n```\n")
    RESULTS.write_text(text)


def _line(name: str, row: Row) -> str:
    met = {True: "yes", False: "**no**", None: ""}[row.met]
    return f"| {name} | {row.figure} | {row.target} | {row.measured} | {met} | {row.how} |"


def _part(text: str, name: str) -> str:
    return text.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- /{name} -->")[0]


def _put(text: str, name: str, content: str) -> str:
    before, mark, rest = text.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    assert end, f"RESULTS.md lost its marks for {name}"
    return before + mark + content + end + after


def _tree() -> str:
    asked = ("git", "describe", "--always", "--dirty")
    try:
        return "tree " + subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "tree unknown"


def _machine() -> str:
    store = subprocess.run([binaries()["valkey"], "--version"], capture_output=True, text=True, check=True)
    valkey = next(word for word in store.stdout.split() if word.startswith("v="))
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return (
        f"Python {platform.python_version()}, {packages}, Valkey {valkey[2:]}, "
        f"Linux {platform.release()}, {os.cpu_count()} cores"
    )
