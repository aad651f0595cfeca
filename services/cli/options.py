"""Options and arguments that several commands have."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from services.cli import contexts
from services.relay.protocol.errors import RelayError

RELAY_TOML, DATA = Path("relay.toml"), Path("data")
"""Where the settings and the store are unless an option or a variable says otherwise."""

LONGEST_ABOUT = 200  # longer than any first sentence of ours: it is wrapped, not cut


class CommandGroup(TyperGroup):
    """Lists the commands by subject, as Typer does with Rich. Rich takes too long to load for `--help`."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        subjects: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            if not command.hidden:
                subject = getattr(command, "rich_help_panel", None) or "Commands"
                subjects.setdefault(subject, []).append((name, command.get_short_help_str(LONGEST_ABOUT)))
        for subject, rows in subjects.items():
            with formatter.section(subject):
                formatter.write_dl(rows)


def examples(*lines: str) -> str:
    """The end of a command's help. Its lines are shown as they are: "\b" says so, for one paragraph each."""
    return "\n".join(["\b", "examples:", *(f"  {line}" if line else "\n\b" for line in lines)])


def group(help: str, *lines: str) -> typer.Typer:
    """A command that has others, and examples of them."""
    return typer.Typer(
        cls=CommandGroup, no_args_is_help=True, help=help, epilog=examples(*lines) if lines else None
    )


def argument(metavar: str, help: str, **more: Any) -> Any:
    """An argument without a default, or whose default is nothing."""
    return typer.Argument(metavar=metavar, help=help, show_default=False, **more)


def with_variable(flag: str, metavar: str, help: str, **more: Any) -> Any:
    """An option that has a variable, too."""
    variable = "DAYZ_RELAY_" + flag.removeprefix("--").upper().replace("-", "_")
    return typer.Option(flag, envvar=variable, metavar=metavar, help=help, **more)


def known_slugs(ctx: typer.Context, incomplete: str) -> list[str]:
    """The servers that a shell offers."""
    from services.cli.at_relay import slugs

    with suppress(RelayError):  # nobody reads an error between two key presses
        return [slug for slug in slugs(ctx) if slug.startswith(incomplete)]
    return []


def known_contexts(incomplete: str) -> list[str]:
    """The contexts that a shell offers."""
    with suppress(RelayError):
        return [name for name in (contexts.LOCAL, *contexts.read().known) if name.startswith(incomplete)]
    return []


# Not `readable`: Typer would show its usage, and our own message has the fix.
Config = Annotated[Path, with_variable("--config", "FILE", "The settings.", readable=False)]
Data = Annotated[
    Path, with_variable("--data", "DIR", "Where `dayz-relay up` keeps its store.", readable=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
Yes = Annotated[
    bool, typer.Option("--yes", help="Do not ask before data is deleted; needed without a terminal.")
]
Slug = Annotated[str, argument("SLUG", "The server.", autocompletion=known_slugs)]
MaybeSlug = Annotated[str | None, argument("SLUG", "One server; without it all.", autocompletion=known_slugs)]
