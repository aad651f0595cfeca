"""Commands that add, change and remove servers, and that say which relay is meant and who may use it."""

import os
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

import typer

from services.cli import contexts
from services.cli.at_relay import Output, RelayApi, at_relay, emit
from services.cli.commands import instances
from services.cli.options import RELAY_TOML, AsJson, Config, argument, examples, group, known_contexts
from services.cli.place import checked_token, checked_url, read_secret
from services.cli.terminal import date

PANEL, ELSEWHERE = "Servers", "The admin API"

app = typer.Typer()
token_app = group(
    "Add, list and remove tokens of the admin API.",
    "dayz-relay api-token add billing-panel --role read",
    "dayz-relay api-token list",
)
context_app = group(
    "Name the relays that you work with: add, use, list, remove.",
    "dayz-relay context add home --url https://relay.example.org --token-file token",
    "dayz-relay context use home            from now on commands work there",
    "dayz-relay context use local           the relay on this machine again",
    "dayz-relay status --context home       this once",
)

TokenName = Annotated[str, argument("NAME", "Its name, as billing-panel.")]
NewContext = Annotated[str, argument("NAME", "Your name for the relay.")]
ContextName = Annotated[str, argument("NAME", "The context.", autocompletion=known_contexts)]


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
    relay: RelayApi,
    name: TokenName,
    role: Annotated[Literal["full", "read"], typer.Option(help="What it may do; read: only look.")] = "full",
) -> Output:
    """Make a token. It is shown only this once, alone on standard output."""
    made = await relay.post("/tokens", {"name": name, "role": role})
    note = f"{name} works at once; `Authorization: Bearer <this>` sends it."
    return Output(made, made["token"], note=note)


@at_relay(token_app, "list")
async def list_tokens(relay: RelayApi) -> Output:
    """Show the tokens that were made, without their secrets."""
    from services.cli.tables import Rows

    tokens = (await relay.get("/tokens"))["tokens"]
    if not tokens:
        return Output(tokens, "There is none but the admin_token of [modapi].")
    rows = [(one["name"], one["role"], date(one["created"])) for one in tokens]
    return Output(tokens, Rows(("NAME", "ROLE", "CREATED"), rows))


@at_relay(token_app, "remove")
async def remove_token(relay: RelayApi, name: TokenName) -> Output:
    """Delete a token. It works for two seconds more at the most."""
    await relay.call("DELETE", f"/tokens/{quote(name, safe='')}")
    return Output({"name": name}, f"{name} is removed.")


@context_app.command("add")
def add_context(
    name: NewContext,
    url: Annotated[str, typer.Option(metavar="URL", help="The admin port of modapi.", show_default=False)],
    token_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Its token; - is standard input.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a relay, or replace the one of that name. Its token is kept in a file that only you can read."""
    token = read_secret(token_file, "--token-file") if token_file else ""
    added = contexts.Context(name, checked_url(url), checked_token(token, "that of --token-file"))
    file = contexts.add(added)
    fix = f"`dayz-relay context use {name}` makes it the one that commands work at."
    emit(Output({"name": name, "url": added.url}, f"{name} is added ({file}): {fix}"), as_json=as_json)


@context_app.command("use")
def use_context(name: ContextName, as_json: AsJson = False) -> None:
    """Choose the relay that commands work at; local: the one of relay.toml."""
    contexts.use(name)
    emit(Output({"current": name}, f"Commands work at {name} now."), as_json=as_json)


@context_app.command("list")
def list_contexts(as_json: AsJson = False) -> None:
    """Show the relays that have a name; * is the one in use."""
    found = contexts.read()
    urls = {one.name: one.url for one in found.known.values()}
    lines = [
        f"{'*' if name == found.current else ' '} {name}  {url}"
        for name, url in {contexts.LOCAL: "relay.toml", **urls}.items()
    ]
    emit(Output({"current": found.current, "contexts": urls}, *lines), as_json=as_json)


@context_app.command("remove")
def remove_context(name: ContextName, as_json: AsJson = False) -> None:
    """Forget a relay and its token."""
    contexts.remove(name)
    emit(Output({"name": name}, f"{name} is removed."), as_json=as_json)


app.add_typer(instances.app, name="instance", rich_help_panel=PANEL)
app.add_typer(context_app, name="context", rich_help_panel=ELSEWHERE)
app.add_typer(token_app, name="api-token", rich_help_panel=ELSEWHERE)
