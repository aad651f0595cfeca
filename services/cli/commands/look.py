"""Commands that look at a relay, at work or not."""

from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.at_relay import at_relay
from services.cli.commands import dead_letters
from services.cli.options import (
    DATA,
    RELAY_TOML,
    AsJson,
    Config,
    Data,
    MaybeSlug,
    Slug,
    examples,
    known_slugs,
)
from services.relay.protocol.vocabulary import Action, EventType

if TYPE_CHECKING:
    from services.cli.api import RelayApi

PANEL = "To look at it"

PASSING_TYPES = tuple(map(str, (*EventType, "refused", *Action)))
"""What passes; `refused`: an event that Takaro refused, which it does not name."""

app = typer.Typer()


def _passing_type(text: str) -> str:
    if text not in PASSING_TYPES:
        raise typer.BadParameter(f"{text!r} is no type: choose from {', '.join(map(repr, PASSING_TYPES))}")
    return text


def _passing_types(incomplete: str) -> list[str]:
    return [name for name in PASSING_TYPES if name.startswith(incomplete)]


@app.command(
    rich_help_panel=PANEL,
    epilog=examples(
        "dayz-relay status                 all servers, updated each second until Ctrl-C",
        "dayz-relay status chernarus       one in detail, with what is wrong and how to fix it",
        "dayz-relay status --json | jq -r '.[] | select(.state == \"down\") | .slug'",
        "",
        "exit codes: 0 every server that is served is up, 1 one is not",
    ),
)
@at_relay
async def status(
    relay: "RelayApi",
    slug: MaybeSlug = None,
    once: Annotated[bool, typer.Option("--once", help="Print it once, on a terminal too.")] = False,
    as_json: AsJson = False,
) -> int:
    """Show all servers live, or one in detail.

    The detail says what is wrong and how to fix it.
    """
    from services.cli import status

    return await status.run(relay, slug=slug, once=once, as_json=as_json)


@app.command(rich_help_panel=PANEL, epilog=examples("dayz-relay fleet", "dayz-relay fleet --json"))
@at_relay
async def fleet(relay: "RelayApi", as_json: AsJson = False) -> None:
    """Show all servers in numbers, and the relay itself."""
    from services.cli import status

    await status.print_fleet(relay, as_json=as_json)


@app.command(
    rich_help_panel=PANEL,
    epilog=examples(
        "dayz-relay doctor                 only looks, and changes nothing",
        "dayz-relay doctor --identify chernarus",
        "dayz-relay doctor --alerts        sends a test message",
        "",
        "exit codes: 0 nothing is wrong, 1 something is, 2 the settings are wrong",
    ),
)
def doctor(
    identify: Annotated[
        str | None,
        typer.Option(
            metavar="SLUG",
            help="Also log in to Takaro as this server, unless the relay is logged in as it now.",
            autocompletion=known_slugs,
        ),
    ] = None,
    alerts: Annotated[
        bool, typer.Option("--alerts", help="Send a test message to each address of [alerts].")
    ] = False,
    as_json: AsJson = False,
    config: Config = RELAY_TOML,
    data: Data = DATA,
) -> int:
    """Look for what is wrong, from the settings to Takaro, and say how to fix it."""
    import asyncio

    from services.cli import doctor

    return asyncio.run(doctor.run(config, data, identify=identify, alerts=alerts, as_json=as_json))


@app.command(
    rich_help_panel=PANEL,
    epilog=examples(
        "dayz-relay tail                   everything, from all servers",
        "dayz-relay tail chernarus livonia --type chat-message --type sendMessage",
        "dayz-relay tail --json | jq 'select(.state != \"delivered\")'",
    ),
)
@at_relay
async def tail(
    relay: "RelayApi",
    slugs: Annotated[
        list[str] | None,
        typer.Argument(metavar="SLUG", help="Some servers; without it all.", autocompletion=known_slugs),
    ] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            metavar="TYPE",
            parser=_passing_type,
            autocompletion=_passing_types,
            help=f"Only these; may be given several times: {', '.join(PASSING_TYPES)}.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Show events as they wait and pass, and commands as they end, from the last 50 of each on.

    Events (→) wait for Takaro, or were delivered or put aside; commands (←) have ended. At most 50 servers
    are shown at once.
    """
    from services.cli import tail

    return await tail.run(relay, named=slugs or [], kinds=kinds, as_json=as_json)


@app.command(
    rich_help_panel=PANEL,
    epilog=examples("dayz-relay players", "dayz-relay players chernarus --json"),
)
@at_relay
async def players(relay: "RelayApi", slug: MaybeSlug = None, as_json: AsJson = False) -> None:
    """Show who is online, as far as the relay knows."""
    from services.cli import players

    await players.run(relay, slug=slug, as_json=as_json)


@app.command(
    rich_help_panel=PANEL,
    epilog=examples(
        "dayz-relay say chernarus The server restarts in five minutes.",
        "",
        "exit codes: 0 the game server has said it, 1 it has not, or nobody can know",
    ),
)
@at_relay
async def say(
    relay: "RelayApi",
    slug: Slug,
    text: Annotated[list[str], typer.Argument(metavar="TEXT", help="The message.", show_default=False)],
    as_json: AsJson = False,
) -> int:
    """Send a message to everybody on a server, and wait until it is shown.

    It then appears in `tail` and on the status page.
    """
    from services.cli import say

    return await say.run(relay, slug=slug, text=" ".join(text), as_json=as_json)


app.add_typer(dead_letters.app, name="dlq", rich_help_panel=PANEL)
