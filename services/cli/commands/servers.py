"""Commands that add, change and remove servers."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli.options import DATA, RELAY_TOML, AsJson, Config, Data, Slug, Yes, examples

PANEL = "Servers"
MOST_HOURS = 2160

app = typer.Typer()
instance_app = typer.Typer(
    no_args_is_help=True,
    help="Add, show, change and remove servers while the relay runs.",
    epilog=examples(
        'dayz-relay instance add livonia --name "Livonia"',
        "dayz-relay instance list",
        "dayz-relay instance rotate livonia --overlap-h 2",
    ),
)

NewSlug = Annotated[
    str,
    typer.Argument(
        metavar="SLUG", help="Names the server in the store, logs and metrics.", show_default=False
    ),
]
SecretFile = Annotated[
    str | None, typer.Option(metavar="FILE", help="Read it from this file; - is standard input.")
]


def _hours(given: str | float) -> float:
    with suppress(ValueError):
        if 0 <= float(given) <= MOST_HOURS:
            return float(given)
    raise typer.BadParameter(f"must be from 0 to {MOST_HOURS} hours")


# Seven arguments: Typer makes an option of each.
@instance_app.command("add")
def add(
    slug: NewSlug,
    name: Annotated[str, typer.Option(help="3 to 50 characters, for Takaro.", show_default=False)],
    identity_token_file: SecretFile = None,
    registration_token_file: SecretFile = None,
    as_json: AsJson = False,
    config: Config = RELAY_TOML,
    data: Data = DATA,
) -> int:
    """Add a server; prints what its mod needs. The key is shown only this once."""
    return _run(
        "add",
        config,
        data,
        slug=slug,
        name=name,
        identity_token_file=identity_token_file,
        registration_token_file=registration_token_file,
        as_json=as_json,
    )


@instance_app.command("list")
def list_servers(as_json: AsJson = False, config: Config = RELAY_TOML, data: Data = DATA) -> int:
    """Show all servers, those of relay.toml too."""
    return _run("show_all", config, data, as_json=as_json)


@instance_app.command("show")
def show(slug: Slug, as_json: AsJson = False, config: Config = RELAY_TOML, data: Data = DATA) -> int:
    """Show one server; `dayz-relay status SLUG` also says what is wrong with it."""
    return _run("show", config, data, slug=slug, as_json=as_json)


@instance_app.command("config")
def show_config(slug: Slug, as_json: AsJson = False, config: Config = RELAY_TOML, data: Data = DATA) -> int:
    """Print what goes into the mod's config.json.

    A key is shown only if it stands in relay.toml.
    """
    return _run("show_config", config, data, slug=slug, as_json=as_json)


@instance_app.command("set")
def change(
    slug: Slug,
    name: Annotated[str | None, typer.Option(help="3 to 50 characters, for Takaro.")] = None,
    registration_token_file: SecretFile = None,
    config: Config = RELAY_TOML,
    data: Data = DATA,
) -> int:
    """Give a server another name, or a registration token of its own."""
    return _run("change", config, data, slug=slug, name=name, registration_token_file=registration_token_file)


@instance_app.command("rotate")
def rotate(
    slug: Slug,
    overlap_h: Annotated[
        float,
        typer.Option(metavar="H", parser=_hours, help="How many hours the old key stays valid."),
    ] = 24.0,
    force: Annotated[
        bool,
        typer.Option("--force", help="Also while the key of an earlier rotation opens: it ends now."),
    ] = False,
    as_json: AsJson = False,
    config: Config = RELAY_TOML,
    data: Data = DATA,
) -> int:
    """Give a server a new mod key.

    The previous one stays valid for a day. Refused while an earlier rotation runs.
    """
    return _run("rotate", config, data, slug=slug, overlap_h=overlap_h, force=force, as_json=as_json)


@instance_app.command("disable")
def disable(slug: Slug, config: Config = RELAY_TOML, data: Data = DATA) -> int:
    """Stop serving a server; its events are kept."""
    return _run("disable", config, data, slug=slug)


@instance_app.command("enable")
def enable(slug: Slug, config: Config = RELAY_TOML, data: Data = DATA) -> int:
    """Serve it again."""
    return _run("enable", config, data, slug=slug)


@instance_app.command("remove")
def remove(
    slug: Slug,
    purge: Annotated[bool, typer.Option("--purge", help="Delete its data now; asks first.")] = False,
    yes: Yes = False,
    config: Config = RELAY_TOML,
    data: Data = DATA,
) -> int:
    """Remove a server; its data is deleted a day later."""
    return _run("remove", config, data, slug=slug, purge=purge, yes=yes)


def _run(action: str, config: Path, data: Path, **given: Any) -> int:
    from services.cli import instances
    from services.cli.opened_relay import at_relay

    return at_relay(config, data, getattr(instances, action), **given)


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
        ),
    ] = None,
    config: Config = RELAY_TOML,
) -> int:
    """Take over the server of an old bridge; for Takaro it stays the same one."""
    from services.cli import take_over

    return take_over.run(source, config, os.environ)


app.add_typer(instance_app, name="instance", rich_help_panel=PANEL)
