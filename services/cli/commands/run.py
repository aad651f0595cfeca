"""Commands that run the relay, or a part of it."""

import json
import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from services.cli.at_relay import slugs
from services.cli.options import DATA, RELAY_TOML, AsJson, Config, Data, examples, group
from services.cli.terminal import print_json, runnable

PANEL = "To run it"

app = typer.Typer()
token_app = group("Create a secret that nobody can guess.")

Kind = Literal["mod-key", "identity", "admin"]
TOKENS: dict[Kind, str] = {
    "mod-key": 'mod_keys of an [[instance]]; its mod has "…/k/<this>" in TakaroApiUrl',
    "identity": "identity_token of an [[instance]] that Takaro has not seen yet, or it sees a second server",
    "admin": "admin_token of [modapi]; panels send it as `Authorization: Bearer <this>`",
}
"""The purpose of each kind of secret, and the place for it."""


@app.command(
    rich_help_panel=PANEL,
    epilog=examples(
        "dayz-relay up                     settings from relay.toml, data in the folder data",
        "dayz-relay up --config /etc/dayz-relay/relay.toml --data /var/lib/dayz-relay",
    ),
)
def up(config: Config = RELAY_TOML, data: Data = DATA) -> int:
    """Run the whole relay, with its own store unless redis.url is set.

    A part that dies is started again.
    """
    from services.cli import up

    return up.run(config, data, os.environ)


@app.command(rich_help_panel=PANEL)
def modapi(config: Config = RELAY_TOML) -> None:
    """Run only the service that the mods call."""
    from services.cli import service

    service.run("modapi", config)


@app.command(rich_help_panel=PANEL)
def uplink(config: Config = RELAY_TOML) -> None:
    """Run only the service that talks to Takaro."""
    from services.cli import service

    service.run("uplink", config)


@app.command(
    rich_help_panel=PANEL,
    epilog=examples(
        "DAYZ_RELAY_URL=http://127.0.0.1:8088/k/<mod key> dayz-relay agent --logs profiles",
        "",
        "variables:",
        "  DAYZ_RELAY_URL        what the mod has as TakaroApiUrl; DAYZ_RELAY_URL_FILE is a file with it",
        "  DAYZ_LOG_DENY         regular expressions, separated by commas: lines that are not sent",
        "  DAYZ_LOG_MAX_PER_SEC  the most lines a second",
    ),
)
def agent(
    logs: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The folder of the logs; without it what DAYZ_LOG_DIR names.", readable=False
        ),
    ] = None,
    state: Annotated[
        Path, typer.Option(metavar="FILE", help="The file that remembers what was sent.", readable=False)
    ] = Path("agent.json"),
) -> None:
    """Send the log lines of the DayZ server on this machine to the relay."""
    from services.agent import main, settings

    main.run(settings.read(logs, state, os.environ))


@app.command(
    rich_help_panel=PANEL,
    epilog=examples("dayz-relay check", "dayz-relay check --config /etc/dayz-relay/relay.toml"),
)
def check(config: Config = RELAY_TOML, as_json: AsJson = False) -> None:
    """Show the settings in effect, secrets masked, or what is wrong with them."""
    from services.cli.settings_of import loaded_from, warnings_of
    from services.relay.service.settings import NO_INSTANCE, masked

    loaded = loaded_from(config)
    shown, warnings = masked(loaded.settings), [runnable(one) for one in warnings_of(loaded)]
    if as_json:
        print_json({"settings": shown, "warnings": warnings})
        return
    for section, content in shown.items():
        for table in content if isinstance(content, list) else [content]:
            print(f"[[{section}]]" if isinstance(content, list) else f"[{section}]")
            for key, value in table.items():
                is_set = value is not None and value != []
                print(f"{key} = {json.dumps(value, ensure_ascii=False)}" if is_set else f"# {key} is not set")
            print()
    if not loaded.settings.instances:
        print(f"note: {runnable(NO_INSTANCE)}")
    print(*(f"warning: {one}" for one in warnings), "ok", sep="\n")


@token_app.command("new", epilog=examples("dayz-relay token new --kind identity"))
def token_new(kind: Annotated[Kind, typer.Option(help="What it is for.")] = "mod-key") -> None:
    """Create a secret that nobody can guess, and say where it goes."""
    import secrets

    print(secrets.token_urlsafe(32))
    typer.echo(f"It goes into relay.toml: {TOKENS[kind]}.", err=True)


@app.command(
    rich_help_panel=PANEL,
    epilog=examples(
        'eval "$(dayz-relay completion bash)"      in ~/.bashrc',
        'eval "$(dayz-relay completion zsh)"       in ~/.zshrc, after compinit',
    ),
)
def completion(
    ctx: typer.Context,
    shell: Annotated[
        Literal["bash", "zsh", "fish", "powershell", "pwsh", "slugs"],
        typer.Argument(help="Your shell; slugs prints the servers."),
    ],
    config: Config = RELAY_TOML,
    data: Data = DATA,
) -> None:
    """Print what a shell needs to complete these commands; --install-completion installs it."""
    if shell == "slugs":
        print(*slugs(ctx), sep="\n")
        return
    from typer.completion import shell_complete

    root = ctx.find_root()
    shell_complete(root.command, {}, root.info_name or "", "_DAYZ_RELAY_COMPLETE", f"source_{shell}")


app.add_typer(token_app, name="token", rich_help_panel=PANEL)
