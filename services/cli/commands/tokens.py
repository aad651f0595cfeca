"""`dayz-relay api-token …`: who may use the admin API."""

from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import quote

import typer

from services.cli.at_relay import at_relay
from services.cli.options import AsJson, examples
from services.cli.terminal import date, print_json

if TYPE_CHECKING:
    from services.cli.api import RelayApi

app = typer.Typer(
    no_args_is_help=True,
    help="Add, list and remove tokens of the admin API.",
    epilog=examples("dayz-relay api-token add billing-panel --role read", "dayz-relay api-token list"),
)

TokenName = Annotated[
    str, typer.Argument(metavar="NAME", help="Its name, as billing-panel.", show_default=False)
]


@app.command("add")
@at_relay
async def add(
    relay: "RelayApi",
    name: TokenName,
    role: Annotated[Literal["full", "read"], typer.Option(help="What it may do; read: only look.")] = "full",
    as_json: AsJson = False,
) -> None:
    """Make a token. It is shown only this once, alone on standard output."""
    made = await relay.post("/tokens", {"name": name, "role": role})
    if as_json:
        print_json(made)
        return
    print(made["token"])
    typer.echo(f"{name} works at once; `Authorization: Bearer <this>` sends it.", err=True)


@app.command("list")
@at_relay
async def list_tokens(relay: "RelayApi", as_json: AsJson = False) -> None:
    """Show the tokens that were made, without their secrets."""
    from services.cli.tables import Rows, show

    tokens = (await relay.get("/tokens"))["tokens"]
    if as_json:
        print_json(tokens)
    elif not tokens:
        print("There is none but the admin_token of [modapi].")
    else:
        show(
            Rows(
                ("NAME", "ROLE", "CREATED"),
                [(one["name"], one["role"], date(one["created"])) for one in tokens],
            )
        )


@app.command("remove")
@at_relay
async def remove(relay: "RelayApi", name: TokenName, as_json: AsJson = False) -> None:
    """Delete a token. It works for two seconds more at the most."""
    await relay.call("DELETE", f"/tokens/{quote(name, safe='')}")
    if as_json:
        print_json({"name": name})
    else:
        print(f"{name} is removed.")
