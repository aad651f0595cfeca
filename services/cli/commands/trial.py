"""Commands that try the relay without a DayZ server or without Takaro."""

import os
from collections.abc import Coroutine
from typing import Annotated, Any, Literal

import typer

from services.cli.options import group
from services.relay.protocol.errors import ConfigError
from services.relay.service.http.addresses import is_url

PANEL = "To try it"

app = typer.Typer()
sim_app = group(
    "Run a simulated mod or a simulated Takaro.",
    "dayz-relay sim takaro --registration-token any-word",
    "dayz-relay sim mod --url http://127.0.0.1:8088/k/<mod key> --generation flat",
)


@app.command(rich_help_panel=PANEL)
def demo(
    seconds: Annotated[float | None, typer.Option(metavar="N", min=0, help="End after N seconds.")] = None,
) -> int:
    """Show the relay at work between simulated DayZ servers and a simulated Takaro."""
    from services.cli import demo

    return demo.run(seconds, os.environ)


@sim_app.command()
def mod(
    url: Annotated[str, typer.Option(help="What the mod has in its TakaroApiUrl.", show_default=False)],
    generation: Annotated[Literal["flat", "mixed", "scanner"], typer.Option(help="Of the mod.")] = "scanner",
    rate: Annotated[float, typer.Option(min=0.001, help="Events per second.")] = 1.0,
    players: Annotated[int, typer.Option(min=1, help="Most players online.")] = 20,
    registration_token: Annotated[str, typer.Option(help="The token in its config at first.")] = "simulated",
) -> None:
    """Run a simulated DayZ server with the mod."""
    from services.sim.main import run_mod

    if not is_url(url, "http", "https"):
        raise ConfigError("--url: must be as http://127.0.0.1:8088/k/<mod key>")
    _run(
        "mod",
        run_mod(
            url=url, generation=generation, rate=rate, players=players, registration_token=registration_token
        ),
    )


@sim_app.command()
def takaro(
    registration_token: Annotated[str, typer.Option(help="The one that it accepts.", show_default=False)],
    host: Annotated[str, typer.Option(help="Where it listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 0,
) -> None:
    """Run a simulated Takaro for a relay to connect to."""
    from services.sim.main import run_takaro

    _run("takaro", run_takaro(registration_tokens={registration_token}, host=host, port=port))


def _run(name: str, peer: Coroutine[Any, Any, None]) -> None:
    import asyncio
    from contextlib import suppress

    try:
        with suppress(KeyboardInterrupt):  # how it ends
            asyncio.run(peer)
    except OSError as error:
        raise ConfigError(f"{name} cannot listen or call there: {error.strerror or error}") from error


app.add_typer(sim_app, name="sim", rich_help_panel=PANEL)
