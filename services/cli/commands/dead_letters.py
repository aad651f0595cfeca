"""`dayz-relay dlq …`: events that were put aside."""

import re
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.at_relay import at_relay
from services.cli.options import AsJson, MaybeSlug, Slug, Yes, examples

if TYPE_CHECKING:
    from services.cli.api import RelayApi

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
    if not re.fullmatch("[0-9]{1,15}-[0-9]{1,10}", text):
        raise typer.BadParameter(f"{text!r} is no id of a dead letter: `dlq list` shows them")
    return text


_ID = typer.Argument(metavar="ID", help="As `dlq list` shows it.", parser=_letter_id, show_default=False)
All = Annotated[bool, typer.Option("--all", help="All of this server.")]


@app.command("list")
@at_relay
async def list_dead_letters(
    relay: "RelayApi",
    slug: MaybeSlug = None,
    count: Annotated[int, typer.Option(metavar="N", parser=_count, help="How many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the newest; without a server the number for each.

    They are events that Takaro would refuse, or has refused.
    """
    from services.cli import dlq

    if slug is None:
        await dlq.show_counts(relay, as_json=as_json)
    else:
        await dlq.show_newest(relay, slug, count, as_json=as_json)


@app.command("show")
@at_relay
async def show_dead_letter(
    relay: "RelayApi", slug: Slug, letter_id: Annotated[str, _ID], as_json: AsJson = False
) -> None:
    """Show one in full, as the mod sent it."""
    from services.cli import dlq

    await dlq.show_one(relay, slug, letter_id, as_json=as_json)


@app.command("retry")
@at_relay
async def retry_dead_letters(
    relay: "RelayApi",
    slug: Slug,
    letter_id: Annotated[str | None, _ID] = None,
    every: All = False,
    as_json: AsJson = False,
) -> int:
    """Try to deliver one again, or all, repaired as they would be today."""
    from services.cli import dlq

    if dlq.is_one(letter_id, every):
        return await dlq.retry_one(relay, slug, str(letter_id), as_json=as_json)
    return await dlq.retry_all(relay, slug, as_json=as_json)


@app.command("drop")
@at_relay
async def drop_dead_letters(
    relay: "RelayApi",
    slug: Slug,
    letter_id: Annotated[str | None, _ID] = None,
    every: All = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> int:
    """Delete one, or all.

    With --all it asks first.
    """
    from services.cli import dlq

    if dlq.is_one(letter_id, every):
        return await dlq.drop_one(relay, slug, str(letter_id), as_json=as_json)
    return await dlq.drop_all(relay, slug, yes=yes, as_json=as_json)
