"""Options and arguments that several commands have."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from services.cli import contexts
from services.relay.protocol.errors import RelayError

RELAY_TOML, DATA = Path("relay.toml"), Path("data")
"""Where the settings and the store are unless an option or a variable says otherwise."""


def examples(*lines: str) -> str:
    """The end of a command's help. Its lines are shown as they are."""
    return "\n".join(["\b", "examples:", *(f"  {line}".rstrip() for line in lines)])


def known_slugs(ctx: typer.Context, incomplete: str) -> list[str]:
    """The servers that a shell offers."""
    from services.cli.completion import slugs

    with suppress(RelayError):  # nobody reads an error between two key presses
        return [slug for slug in slugs(ctx, ctx.params) if slug.startswith(incomplete)]
    return []


def known_contexts(incomplete: str) -> list[str]:
    """The contexts that a shell offers."""
    with suppress(RelayError):
        return [name for name in (contexts.LOCAL, *contexts.read().known) if name.startswith(incomplete)]
    return []


# Not `readable`: Typer would show its usage, and our own message has the fix.
Config = Annotated[
    Path,
    typer.Option(
        "--config", envvar="DAYZ_RELAY_CONFIG", metavar="FILE", help="The settings.", readable=False
    ),
]
Data = Annotated[
    Path,
    typer.Option(
        "--data",
        envvar="DAYZ_RELAY_DATA",
        metavar="DIR",
        help="Where `dayz-relay up` keeps its store.",
        readable=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
Yes = Annotated[
    bool, typer.Option("--yes", help="Do not ask before data is deleted; needed without a terminal.")
]
Slug = Annotated[
    str, typer.Argument(metavar="SLUG", help="The server.", autocompletion=known_slugs, show_default=False)
]
MaybeSlug = Annotated[
    str | None,
    typer.Argument(
        metavar="SLUG", help="One server; without it all.", autocompletion=known_slugs, show_default=False
    ),
]
