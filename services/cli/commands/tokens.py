"""`dayz-relay api-token …`: who may use the admin API."""

from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import quote

import typer

from services.cli.at_relay import Told, at_relay
from services.cli.options import examples
from services.cli.terminal import date

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
) -> Told:
    """Make a token. It is shown only this once, alone on standard output."""
    made = await relay.post("/tokens", {"name": name, "role": role})
    note = f"{name} works at once; `Authorization: Bearer <this>` sends it."
    return Told(made, made["token"], note=note)


@app.command("list")
@at_relay
async def list_tokens(relay: "RelayApi") -> Told:
    """Show the tokens that were made, without their secrets."""
    from services.cli.tables import Rows

    tokens = (await relay.get("/tokens"))["tokens"]
    if not tokens:
        return Told(tokens, "There is none but the admin_token of [modapi].")
    rows = [(one["name"], one["role"], date(one["created"])) for one in tokens]
    return Told(tokens, Rows(("NAME", "ROLE", "CREATED"), rows))


@app.command("remove")
@at_relay
async def remove(relay: "RelayApi", name: TokenName) -> Told:
    """Delete a token. It works for two seconds more at the most."""
    await relay.call("DELETE", f"/tokens/{quote(name, safe='')}")
    return Told({"name": name}, f"{name} is removed.")
