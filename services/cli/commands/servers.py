"""Commands that add, change and remove servers, and that say which relay is meant and who may use it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import quote

import typer

from services.cli.at_relay import Output, at_relay
from services.cli.commands import contexts, instances
from services.cli.options import RELAY_TOML, CommandGroup, Config, argument, examples
from services.cli.terminal import date

if TYPE_CHECKING:
    from services.cli.api import RelayApi

PANEL, ELSEWHERE = "Servers", "The admin API"

app = typer.Typer()
token_app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    help="Add, list and remove tokens of the admin API.",
    epilog=examples("dayz-relay api-token add billing-panel --role read", "dayz-relay api-token list"),
)

TokenName = Annotated[str, argument("NAME", "Its name, as billing-panel.")]


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
        argument(
            "TakaroConfig.txt",
            "The old bridge's file; without it the one that BRIDGE_CONFIG names, or the environment.",
            readable=False,
        ),
    ] = None,
    config: Config = RELAY_TOML,
) -> int:
    """Take over the server of an old bridge; for Takaro it stays the same one."""
    from services.cli import take_over

    return take_over.run(source, config, os.environ)


@at_relay(token_app, "add")
async def add_token(
    relay: "RelayApi",
    name: TokenName,
    role: Annotated[Literal["full", "read"], typer.Option(help="What it may do; read: only look.")] = "full",
) -> Output:
    """Make a token. It is shown only this once, alone on standard output."""
    made = await relay.post("/tokens", {"name": name, "role": role})
    note = f"{name} works at once; `Authorization: Bearer <this>` sends it."
    return Output(made, made["token"], note=note)


@at_relay(token_app, "list")
async def list_tokens(relay: "RelayApi") -> Output:
    """Show the tokens that were made, without their secrets."""
    from services.cli.tables import Rows

    tokens = (await relay.get("/tokens"))["tokens"]
    if not tokens:
        return Output(tokens, "There is none but the admin_token of [modapi].")
    rows = [(one["name"], one["role"], date(one["created"])) for one in tokens]
    return Output(tokens, Rows(("NAME", "ROLE", "CREATED"), rows))


@at_relay(token_app, "remove")
async def remove_token(relay: "RelayApi", name: TokenName) -> Output:
    """Delete a token. It works for two seconds more at the most."""
    await relay.call("DELETE", f"/tokens/{quote(name, safe='')}")
    return Output({"name": name}, f"{name} is removed.")


app.add_typer(instances.app, name="instance", rich_help_panel=PANEL)
app.add_typer(contexts.app, name="context", rich_help_panel=ELSEWHERE)
app.add_typer(token_app, name="api-token", rich_help_panel=ELSEWHERE)
