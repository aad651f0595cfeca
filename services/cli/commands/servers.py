"""Commands that add, change and remove servers, and that say which relay is meant and who may use it."""

import os
from pathlib import Path
from typing import Annotated

import typer

from services.cli.commands import contexts, instances, tokens
from services.cli.options import RELAY_TOML, Config, examples

PANEL, ELSEWHERE = "Servers", "The admin API"

app = typer.Typer()


@app.command(
    "import",
    rich_help_panel=PANEL,
    epilog=examples(
        "dayz-relay import TakaroConfig.txt",
        "dayz-relay import takaro_config.txt       the file of the DLL",
    ),
)
def take_over(
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="TakaroConfig.txt",
            help="The old bridge's file; without it the one that BRIDGE_CONFIG names, or the environment.",
            show_default=False,
            readable=False,
        ),
    ] = None,
    config: Config = RELAY_TOML,
) -> int:
    """Take over the server of an old bridge; for Takaro it stays the same one."""
    from services.cli import take_over

    return take_over.run(source, config, os.environ)


app.add_typer(instances.app, name="instance", rich_help_panel=PANEL)
app.add_typer(contexts.app, name="context", rich_help_panel=ELSEWHERE)
app.add_typer(tokens.app, name="api-token", rich_help_panel=ELSEWHERE)
