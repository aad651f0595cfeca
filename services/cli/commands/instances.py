"""`dayz-relay instance …`: adds, shows, changes and removes servers while the relay runs."""

from typing import Annotated, Any

import typer

from services.cli.at_relay import Output, RelayApi, at_relay
from services.cli.options import Slug, Yes, argument, group
from services.cli.place import read_secret
from services.cli.terminal import date, is_meant, program, runnable
from services.relay.protocol.errors import ConfigError
from services.relay.protocol.link_states import link_word

MOST_HOURS = 2160
HEAD = ("SLUG", "NAME", "FROM", "STATE", "KEYS", "TAKARO", "LAST CONTACT", "EVENTS", "COMMANDS")

app = group(
    "Add, show, change and remove servers while the relay runs.",
    'dayz-relay instance add livonia --name "Livonia"',
    "dayz-relay instance list",
    "dayz-relay instance rotate livonia --overlap-h 2",
)

NewSlug = Annotated[str, argument("SLUG", "Names the server in the store, logs and metrics.")]
SecretFile = Annotated[
    str | None, typer.Option(metavar="FILE", help="Read it from this file; - is standard input.")
]


@at_relay(app, "add")
async def add(
    relay: RelayApi,
    slug: NewSlug,
    name: Annotated[str, typer.Option(help="3 to 50 characters, for Takaro.", show_default=False)],
    identity_token_file: SecretFile = None,
    registration_token_file: SecretFile = None,
) -> Output:
    """Add a server; prints what its mod needs. The key is shown only this once."""
    body = {
        "slug": slug,
        "name": name,
        "identity_token": _secret(identity_token_file, "--identity-token-file"),
        "registration_token": _secret(registration_token_file, "--registration-token-file"),
    }
    added = await relay.post("/servers", body)
    server = added["server"]
    parts = [f'Server {slug} ("{server["name"]}") is added: running services serve it within two seconds.']
    if not server["has_registration_token"]:
        from services.relay.service.settings import REGISTRATION_TOKEN_PLACE  # pydantic takes 0.1 s to load

        parts.append(
            f"It has no Takaro registration token, its events are kept until then: {REGISTRATION_TOKEN_PLACE}"
        )
    identity = "\nTakaro knows the server by this identity token. Keep it with your backups:\n"
    return Output(added, *parts, *_key(added), identity, added["identity_token"])


@at_relay(app, "list")
async def list_servers(relay: RelayApi) -> Output:
    """Show all servers, those of relay.toml and .env too."""
    from services.cli.tables import Rows

    servers = sorted(await relay.servers(), key=lambda server: (server["origin"] == "api", server["slug"]))
    if not servers:
        return Output(servers, runnable("There is no instance yet: `dayz-relay instance add` adds one."))
    notes = [f"{server['slug']}: {server['note']}" for server in servers if server["note"]]
    return Output(servers, Rows(HEAD, [_row(server) for server in servers], flexible="NAME"), *notes)


@at_relay(app, "show")
async def show_server(relay: RelayApi, slug: Slug) -> Output:
    """Show one server; `dayz-relay status SLUG` also says what is wrong with it."""
    from services.cli.status import described

    server = await relay.get(relay.path(slug))
    return Output(server, *described(server))


@at_relay(app, "config")
async def show_config(relay: RelayApi, slug: Slug) -> Output:
    """Print what goes into the mod's config.json.

    A key is shown only if it stands in relay.toml.
    """
    config = await relay.get(relay.path(slug, "/mod-config"))
    note = (
        f"The relay does not show the mod key of {slug}: put in the one you have, or make one by"
        f" `{program()} instance rotate {slug}`."
    )
    return Output(config, config["mod_config"], note=note if "<mod key>" in config["mod_config"] else "")


@at_relay(app, "set")
async def change(
    relay: RelayApi,
    slug: Slug,
    name: Annotated[str | None, typer.Option(help="3 to 50 characters, for Takaro.")] = None,
    registration_token_file: SecretFile = None,
) -> Output:
    """Give a server another name, or a registration token of its own."""
    given = {
        "name": name,
        "registration_token": _secret(registration_token_file, "--registration-token-file"),
    }
    changes = {field: value for field, value in given.items() if value is not None}
    if not changes:
        raise ConfigError("nothing is to be changed: give --name, --registration-token-file or both")
    changed = await relay.call("PATCH", relay.path(slug), json=changes)
    what = " and ".join(field.replace("_", " ") for field in changes)
    return Output(changed, f"{slug} has a new {what}: running services use it within two seconds.")


@at_relay(app, "rotate")
async def rotate(
    relay: RelayApi,
    slug: Slug,
    overlap_h: Annotated[
        float,
        typer.Option(metavar="H", min=0, max=MOST_HOURS, help="How many hours the old key stays valid."),
    ] = 24.0,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Also while the key before the last one is still valid: that one ends now."
        ),
    ] = False,
) -> Output:
    """Give a server a new mod key.

    The previous one stays valid for a day. Refused while an earlier rotation runs.
    """
    asked = {"overlap_s": overlap_h * 3600, "force": force}
    rotated = await relay.post(relay.path(slug, "/rotate"), asked)
    until = f"stays valid for {overlap_h:g} h" if overlap_h else "is not valid any more"
    return Output(rotated, f"{slug} has a new mod key. The previous one {until}.", *_key(rotated))


@at_relay(app, "disable")
async def disable(relay: RelayApi, slug: Slug) -> Output:
    """Stop serving a server; its events are kept."""
    disabled = await relay.post(relay.path(slug, "/disable"))
    words = f"{slug} is disabled: its keys open nothing, its link is closed, its events are kept."
    return Output(disabled, words)


@at_relay(app, "enable")
async def enable(relay: RelayApi, slug: Slug) -> Output:
    """Serve it again."""
    return Output(await relay.post(relay.path(slug, "/enable")), f"{slug} is served again.")


@at_relay(app, "remove")
async def remove(
    relay: RelayApi,
    slug: Slug,
    purge: Annotated[bool, typer.Option("--purge", help="Delete its data now; asks first.")] = False,
    yes: Yes = False,
) -> Output | int:
    """Remove a server; its data is deleted a day later."""
    if purge and not is_meant(f"Delete all that is kept of {slug}, for good?", yes=yes):
        return 1
    await relay.call("DELETE", relay.path(slug), params={"purge": purge})
    kept = (
        "within a minute" if purge else "in 24 hours; adding it again with the same identity token keeps it"
    )
    removed = {"slug": slug, "purged": purge}
    return Output(removed, f"{slug} is removed. Its data is deleted {kept}.")


def _secret(file: str | None, option: str) -> str | None:
    return read_secret(file, option) if file else None


def _key(answer: dict[str, Any]) -> tuple[str, str]:
    head = f"\nThe mod's {answer['mod_config_path']} (the key is shown this once):\n"
    return head, answer["mod_config"]


def _row(server: dict[str, Any]) -> tuple[str, ...]:
    contact = server["mod"]["last_contact"]
    return (
        server["slug"],
        server["name"],
        "settings" if server["origin"] == "relay.toml" else "Redis",
        "disabled" if server["disabled"] else "served" if server["served"] else "not served",
        str(len(server["mod_keys"])),
        link_word(server["link"]["state"]),
        date(contact) if contact else "never",
        str(server["events_waiting"]),
        str(server["commands_waiting"]),
    )
