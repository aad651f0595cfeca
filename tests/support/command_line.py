"""Parses a command line as `dayz-relay` does, without running the command."""

from collections.abc import Sequence
from typing import Any

from typer.core import TyperGroup
from typer.main import get_command

from services.cli.main import app

COMMANDS = get_command(app)


def parsed(argv: Sequence[str]) -> dict[str, Any]:
    """The values that the command gets. Raises TyperException for a command line that is wrong."""
    command, rest = COMMANDS, list(argv)
    context = None
    while isinstance(command, TyperGroup):
        context = command.make_context(command.name, rest, parent=context)
        name, found, rest = command.resolve_command(context, rest)
        assert name and found
        command = found
    return command.make_context(command.name, rest, parent=context).params
