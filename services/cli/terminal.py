"""Words, times and questions of the commands."""

import contextlib
import json
import os
import re
import shlex
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import orjson

from services.relay.protocol.errors import ConfigError, RelayError, StoreRefused
from services.relay.service import logs

NAME = "dayz-relay"
COMMAND_VARIABLE = "DAYZ_RELAY_COMMAND"
"""Typed in place of NAME where docker-compose.yml runs each command in a container of its own."""
COMPOSE_UP = "docker compose up --detach --wait"
"""What starts the relay of docker-compose.yml, and returns once it answers."""

safe = logs.printable


def many(number: int, what: str) -> str:
    """ "1 note", "2 notes"."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def clock(moment: str) -> str:
    """A time of the admin API as the time of day here."""
    return f"{datetime.fromisoformat(moment).astimezone():%H:%M:%S}"


def date(moment: str) -> str:
    """A time of the admin API as date and time of day here, and what time is meant."""
    return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M:%S %Z}"


def age_s(moment: str) -> float:
    """How long ago a time of the admin API is, on the clock here."""
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())


def print_json(value: object, *, indent: bool = True) -> None:
    """One JSON text; lines of a stream are not indented. Escaped where the output is not UTF-8."""
    option = orjson.OPT_UTC_Z | (orjson.OPT_INDENT_2 if indent else 0)
    text = orjson.dumps(value, option=option).decode()
    if (sys.stdout.encoding or "utf-8").lower() != "utf-8":
        text = json.dumps(orjson.loads(text), indent=2 if indent else None)
    print(text, flush=True)


def program() -> str:
    """How to type the program: by its name, or by its path if the name is not found or is another program."""
    if typed := os.environ.get(COMMAND_VARIABLE):
        return typed
    called, found = Path(sys.argv[0]), shutil.which(NAME)
    if called.name != NAME or (found and called.exists() and called.samefile(found)):
        return NAME
    return shlex.quote(sys.argv[0])


def runnable(text: str) -> str:
    """The text with its commands, at the beginning or in backticks, as they have to be typed here."""
    return re.sub(f"(^|`){NAME} ", lambda found: f"{found[1]}{program()} ", text)


def is_meant(question: str, *, yes: bool) -> bool:
    """Ask a person whether to do what cannot be undone. A program passes `yes`.

    Raises ConfigError without a terminal to ask at.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigError("nothing was deleted, for there is no terminal to ask at: add --yes if you mean it")
    # Not to standard output: that may be a file, or JSON for a program.
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    with contextlib.suppress(EOFError):
        if input().strip().lower() in ("y", "yes"):
            return True
    print("nothing was deleted", file=sys.stderr)
    return False


def complain(text: str) -> None:
    """Print a text to standard error, each line behind the name of the program."""
    for line in text.splitlines():
        print(f"{NAME}: {runnable(logs.clean(line))}", file=sys.stderr)


def failed(error: RelayError) -> int:
    """Print what is wrong; the exit code: 2 for a wrong setting, 1 for anything else."""
    complain(str(error))
    return 2 if isinstance(error, ConfigError | StoreRefused) else 1
