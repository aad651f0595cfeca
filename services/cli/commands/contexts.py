"""`dayz-relay context …`: names for the relays that a person works with."""

from typing import Annotated

import typer

from services.cli import contexts
from services.cli.at_relay import Output, tell
from services.cli.options import AsJson, CommandGroup, argument, examples, known_contexts
from services.cli.place import checked_token, checked_url, read_secret

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    help="Name the relays that you work with: add, use, list, remove.",
    epilog=examples(
        "dayz-relay context add home --url https://relay.example.org --token-file token",
        "dayz-relay context use home            from now on commands work there",
        "dayz-relay context use local           the relay on this machine again",
        "dayz-relay status --context home       this once",
    ),
)

NewName = Annotated[str, argument("NAME", "Your name for the relay.")]
Name = Annotated[str, argument("NAME", "The context.", autocompletion=known_contexts)]


@app.command("add")
def add(
    name: NewName,
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
    tell(Output({"name": name, "url": added.url}, f"{name} is added ({file}): {fix}"), as_json=as_json)


@app.command("use")
def use(name: Name, as_json: AsJson = False) -> None:
    """Choose the relay that commands work at; local: the one of relay.toml."""
    contexts.use(name)
    tell(Output({"current": name}, f"Commands work at {name} now."), as_json=as_json)


@app.command("list")
def list_contexts(as_json: AsJson = False) -> None:
    """Show the relays that have a name; * is the one in use."""
    found = contexts.read()
    urls = {one.name: one.url for one in found.known.values()}
    lines = [
        f"{'*' if name == found.current else ' '} {name}  {url}"
        for name, url in {contexts.LOCAL: "relay.toml", **urls}.items()
    ]
    tell(Output({"current": found.current, "contexts": urls}, *lines), as_json=as_json)


@app.command("remove")
def remove(name: Name, as_json: AsJson = False) -> None:
    """Forget a relay and its token."""
    contexts.remove(name)
    tell(Output({"name": name}, f"{name} is removed."), as_json=as_json)
