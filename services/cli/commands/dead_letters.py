"""`dayz-relay dlq …`: events that were put aside."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli.options import DATA, RELAY_TOML, AsJson, Config, Data, MaybeSlug, Slug, Yes, examples

MOST_LISTED = 1_000

app = typer.Typer(
    no_args_is_help=True,
    help="Events that Takaro would refuse, or has refused: list, show, retry, drop.",
    epilog=examples(
        "dayz-relay dlq list               the number for each server",
        "dayz-relay dlq list chernarus",
        "dayz-relay dlq show chernarus 1795243200000-0",
        "dayz-relay dlq retry chernarus --all",
        "",
        "exit codes: 0 it was done (retried events are on their way to Takaro), 1 it was not",
    ),
)


def _count(given: str | int) -> int:
    if str(given).isdecimal() and 1 <= int(given) <= MOST_LISTED:
        return int(given)
    raise typer.BadParameter(f"must be a number from 1 to {MOST_LISTED:,}")


def _letter_id(text: str) -> str:
    if not re.fullmatch("[0-9]{1,15}-[0-9]{1,15}", text):
        raise typer.BadParameter(f"{text!r} is no id of a dead letter: `dlq list` shows them")
    return text


_ID = typer.Argument(metavar="ID", help="As `dlq list` shows it.", parser=_letter_id, show_default=False)
All = Annotated[bool, typer.Option("--all", help="All of this server.")]


@app.command("list")
def list_dead_letters(
    slug: MaybeSlug = None,
    count: Annotated[int, typer.Option(metavar="N", parser=_count, help="How many.")] = 20,
    as_json: AsJson = False,
    config: Config = RELAY_TOML,
    data: Data = DATA,
) -> int:
    """Show the newest; without a server the number for each.

    They are events that Takaro would refuse, or has refused.
    """
    return _run("show_all", config, data, slug=slug, count=count, as_json=as_json)


@app.command("show")
def show_dead_letter(
    slug: Slug,
    letter_id: Annotated[str, _ID],
    as_json: AsJson = False,
    config: Config = RELAY_TOML,
    data: Data = DATA,
) -> int:
    """Show one in full, as the mod sent it."""
    return _run("show_one", config, data, slug=slug, letter_id=letter_id, as_json=as_json)


@app.command("retry")
def retry_dead_letters(
    slug: Slug,
    letter_id: Annotated[str | None, _ID] = None,
    every: All = False,
    config: Config = RELAY_TOML,
    data: Data = DATA,
) -> int:
    """Try to deliver one again, or all, repaired as they would be today."""
    return _run("retry", config, data, slug=slug, letter_id=letter_id, every=every)


@app.command("drop")
def drop_dead_letters(
    slug: Slug,
    letter_id: Annotated[str | None, _ID] = None,
    every: All = False,
    yes: Yes = False,
    config: Config = RELAY_TOML,
    data: Data = DATA,
) -> int:
    """Delete one, or all.

    With --all it asks first.
    """
    return _run("drop", config, data, slug=slug, letter_id=letter_id, every=every, yes=yes)


def _run(name: str, config: Path, data: Path, **given: Any) -> int:
    from services.cli import dlq
    from services.cli.opened_relay import at_relay

    return at_relay(config, data, getattr(dlq, name), **given)
