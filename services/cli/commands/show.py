"""Commands that show a running relay, or find out why it does not run."""

from typing import Annotated, Any

import typer

from services.cli.at_relay import Output, RelayApi, at_relay
from services.cli.commands import dead_letters
from services.cli.options import (
    DATA,
    RELAY_TOML,
    AsJson,
    Config,
    Data,
    MaybeSlug,
    Slug,
    argument,
    examples,
    known_slugs,
)
from services.cli.terminal import safe
from services.relay.protocol.ends import STATE_WORDS, CommandEnd
from services.relay.protocol.vocabulary import Action, EventType
from services.relay.service.durations import span

PANEL = "To look at it"

PASSING_TYPES = tuple(map(str, (*EventType, "refused", *Action)))
"""The types that `tail` can show; `refused`: an event that Takaro refused, which it does not name."""

app = typer.Typer()


def _passing_type(text: str) -> str:
    if text not in PASSING_TYPES:
        raise typer.BadParameter(f"{text!r} is no type: choose from {', '.join(map(repr, PASSING_TYPES))}")
    return text


@at_relay(
    app,
    rich_help_panel=PANEL,
    epilog=examples(
        "dayz-relay status                 all servers, updated each second until Ctrl-C",
        "dayz-relay status chernarus       one in detail, with what is wrong and how to fix it",
        "dayz-relay status --json | jq -r '.[] | select(.state == \"down\") | .slug'",
        "",
        "exit codes: 0 no server is down, 1 one is",
    ),
)
async def status(
    relay: RelayApi,
    slug: MaybeSlug = None,
    once: Annotated[bool, typer.Option("--once", help="Print it once, on a terminal too.")] = False,
    as_json: AsJson = False,
) -> Output | int:
    """Show all servers live, or one in detail.

    The detail says what is wrong and how to fix it.
    """
    from services.cli import status

    return await status.run(relay, slug=slug, once=once, as_json=as_json)


@at_relay(app, rich_help_panel=PANEL, epilog=examples("dayz-relay fleet", "dayz-relay fleet --json"))
async def fleet(relay: RelayApi) -> Output:
    """Show all servers in numbers, and the relay itself."""
    from services.cli import status

    return await status.whole_fleet(relay)


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


@at_relay(
    app,
    rich_help_panel=PANEL,
    epilog=examples(
        "dayz-relay tail                   everything, from all servers",
        "dayz-relay tail chernarus livonia --type chat-message --type sendMessage",
        "dayz-relay tail --json | jq 'select(.state != \"delivered\")'",
    ),
)
async def tail(
    relay: RelayApi,
    slugs: Annotated[
        list[str] | None, argument("SLUG", "Some servers; without it all.", autocompletion=known_slugs)
    ] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            metavar="TYPE",
            parser=_passing_type,
            autocompletion=lambda incomplete: [one for one in PASSING_TYPES if one.startswith(incomplete)],
            help=f"Only these; may be given several times: {', '.join(PASSING_TYPES)}.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Show events and commands live, beginning with the last 50 of each.

    Events (→) wait for Takaro, or were delivered or put aside; commands (←) have ended. At most 50 servers
    are shown at once.
    """
    from services.cli import tail

    return await tail.run(relay, named=slugs or [], kinds=kinds, as_json=as_json)


@at_relay(
    app, rich_help_panel=PANEL, epilog=examples("dayz-relay players", "dayz-relay players chernarus --json")
)
async def players(relay: RelayApi, slug: MaybeSlug = None) -> Output:
    """Show who is online, as far as the relay knows."""
    from services.cli.tables import Part, Rows, label

    if slug:
        found = {slug: await relay.get(relay.path(slug, "/players"))}
    else:
        found = {one.pop("slug"): one for one in await relay.pages("/players")}
    rows = [_player(slug, player) for slug, known in found.items() for player in known["players"]]
    head = ("SERVER", "NAME", "GAME ID", "PING", "WHERE")
    parts: list[Part] = [Rows(head, rows, flexible="NAME")] if rows else []
    for slug, known in found.items():
        said = "not known yet, Takaro asks within a minute"
        if known["age_s"] is not None:
            said = f"{len(known['players'])} online, as of {span(known['age_s'])} ago"
        parts.append(label(f"{slug}: {said}", "dim"))
    return Output(found, *(parts or ["No server is served."]))


def _player(slug: str, player: dict[str, Any]) -> tuple[str, ...]:
    place = player["position"]
    where = f"{place['x']:.0f} / {place['z']:.0f}" if place else ""
    ping = "" if player["ping"] is None else f"{player['ping']:g} ms"
    return slug, player["name"], player["game_id"], ping, where


@at_relay(
    app,
    rich_help_panel=PANEL,
    epilog=examples(
        "dayz-relay say chernarus The server restarts in five minutes.",
        "",
        "exit codes: 0 the game server has said it, 1 it has not, or nobody can know",
    ),
)
async def say(
    relay: RelayApi, slug: Slug, text: Annotated[list[str], argument("TEXT", "The message.")]
) -> Output:
    """Send a message to everybody on a server, and wait until it is shown.

    It then appears in `tail` and on the status page.
    """
    from services.cli.tables import waiting_for

    with waiting_for(slug):
        ended = await relay.post(relay.path(slug, "/messages"), {"text": " ".join(text)})
    if ended["state"] == "answered":
        return Output(ended, f"said on {slug}, after {ended['took_ms'] / 1000:.1f} s")
    return Output(ended, trouble=await _why(relay, slug, ended), code=1)


async def _why(relay: RelayApi, slug: str, ended: dict[str, Any]) -> str:
    state: str = ended["state"]
    words = STATE_WORDS.get(state, state)
    if state == CommandEnd.REFUSED:
        return f"{slug} refused it: {safe(ended['detail'])}"
    if state == CommandEnd.NOT_DELIVERED:
        silent_s = (await relay.get(relay.path(slug)))["mod"]["silent_s"]
        heard = "has never called" if silent_s is None else f"was last heard of {span(silent_s)} ago"
        return f"{words}: the mod of {slug} {heard}"
    return words


app.add_typer(dead_letters.app, name="dlq", rich_help_panel=PANEL)
