"""`dayz-relay instance …`: the same as the admin API, at a terminal. It works on Redis itself."""

import sys
from pathlib import Path
from typing import Any

from pydantic import SecretStr, TypeAdapter, ValidationError

from services.cli.fleet import look_at_all
from services.cli.opened_relay import OpenedRelay
from services.cli.tables import Rows
from services.cli.tables import show as print_rows
from services.cli.terminal import date, is_meant, print_json, program, runnable
from services.modapi.admin.models import Server
from services.modapi.admin.views import server_of
from services.modapi.page.words import link_word
from services.relay.instances.entries import active
from services.relay.instances.mod_config import mod_config, mod_url
from services.relay.instances.records import InstanceUpdate
from services.relay.instances.registry import Issued
from services.relay.protocol.errors import ConfigError
from services.relay.service.settings import Instance
from services.relay.service.settings_values import DisplayName, Slug, Token
from services.relay.service.settings_warnings import equal_name, guessable
from services.relay.service.text_files import decoded, read_text

HEAD = ("SLUG", "NAME", "FROM", "STATE", "KEYS", "TAKARO", "LAST CONTACT", "EVENTS", "COMMANDS")
MOD_CONFIG_PATH = "profiles/TakaroIntegration/config.json"


async def add(
    relay: OpenedRelay,
    *,
    slug: str,
    name: str,
    identity_token_file: str | None,
    registration_token_file: str | None,
    as_json: bool,
) -> None:
    """Add a server, and print what its mod needs. Raises ConfigError, InstanceConflict, StoreError."""
    issued = await relay.registry.create(
        _valid(Slug, slug, "slug"),
        _valid(DisplayName, name, "--name"),
        identity_token=_secret(identity_token_file, "--identity-token-file"),
        registration_token=_secret(registration_token_file, "--registration-token-file"),
    )
    added = Instance(slug=slug, name=name, identity_token=issued.record.identity_token)
    warnings = [*filter(None, [guessable(added)]), *await _equal_name(relay, slug)]
    if as_json:
        secrets = {"mod_key": issued.mod_key, "identity_token": _identity(issued)}
        print_json({"slug": slug, **secrets, "warnings": warnings})
        return
    _warn(warnings)
    lacks = issued.record.registration_token is None and relay.settings.takaro.registration_token is None
    print(f'Server {slug} ("{name}") is added: running services serve it within two seconds.')
    if lacks:
        print(
            "It has no Takaro registration token: its events are kept until [takaro] in relay.toml has one."
        )
    _print_key(relay, issued)
    print("\nTakaro knows the server by this identity token. Keep it with your backups:\n")
    print(_identity(issued))


async def show_all(relay: OpenedRelay, *, as_json: bool) -> None:
    """Print all servers."""
    rows, _ = await look_at_all(relay)
    servers = sorted(map(server_of, rows), key=lambda server: (server.origin == "api", server.slug))
    if as_json:
        print_json([server.model_dump() for server in servers])
    elif not servers:
        print(runnable("There is no instance yet: `dayz-relay instance add` adds one."))
    else:
        print_rows(Rows(HEAD, [_row(server) for server in servers], flexible="NAME"))
        for server in servers:
            if server.note:
                print(f"{server.slug}: {server.note}")


async def rotate(relay: OpenedRelay, *, slug: str, overlap_h: float, force: bool, as_json: bool) -> None:
    """Give a server a new mod key, and print it."""
    issued = await relay.registry.rotate(slug, overlap_h * 3600, force=force)
    if as_json:
        print_json({"slug": slug, "mod_key": issued.mod_key})
        return
    if overlap_h:
        print(f"{slug} has a new mod key. The one before opens for {overlap_h:g} h more.")
    else:
        print(f"{slug} has a new mod key, the one before opens no longer.")
    _print_key(relay, issued)


async def disable(relay: OpenedRelay, *, slug: str) -> None:
    """Stop serving a server."""
    await relay.registry.patch(slug, InstanceUpdate(disabled=True))
    print(f"{slug} is disabled: its keys open nothing, its link is closed, its events are kept.")


async def enable(relay: OpenedRelay, *, slug: str) -> None:
    """Serve a server again."""
    await relay.registry.patch(slug, InstanceUpdate(disabled=False))
    _warn(await _equal_name(relay, slug))
    print(f"{slug} is served again.")


async def remove(relay: OpenedRelay, *, slug: str, purge: bool, yes: bool) -> int:
    """Remove a server. Returns 1 if a person was asked and said no."""
    if purge and not is_meant(f"Delete all that is kept of {slug}, for good?", yes=yes):
        return 1
    await relay.registry.remove(slug, purge=purge)
    kept = "now" if purge else "in 24 hours; adding it again with the same identity token keeps it"
    print(f"{slug} is removed. Its data is deleted {kept}.")
    return 0


async def change(
    relay: OpenedRelay, *, slug: str, name: str | None, registration_token_file: str | None
) -> None:
    """Change what is given. Raises ConfigError, InstanceConflict, NoSuchInstance, StoreError."""
    token = _secret(registration_token_file, "--registration-token-file")
    if name is None and token is None:
        raise ConfigError("nothing is to be changed: give --name, --registration-token-file or both")
    if name is not None:
        _valid(DisplayName, name, "--name")
    await relay.registry.patch(
        slug, InstanceUpdate(name, registration_token=token.get_secret_value() if token else None)
    )
    _warn(await _equal_name(relay, slug))
    given = {"name": name, "registration token": token}
    changed = " and ".join(what for what, value in given.items() if value is not None)
    print(f"{slug} has a new {changed}: running services use it within two seconds.")


async def show_config(relay: OpenedRelay, *, slug: str, as_json: bool) -> None:
    """Print the mod's config.json. Keys are known from relay.toml only: Redis has digests."""
    instance = (await relay.entry(slug)).instance
    known = instance.mod_keys[0].get_secret_value() if instance.mod_keys else "<mod key>"
    config = mod_config(mod_url(relay.settings.modapi), known)
    if as_json:
        print_json({"slug": slug, "mod_config": config, "mod_config_path": MOD_CONFIG_PATH})
        return
    print(config)
    if not instance.mod_keys:
        note = f"The relay keeps no mod key of {slug}: put in the one you have, or make one by "
        print(f"{note}`{program()} instance rotate {slug}`.", file=sys.stderr)


async def show(relay: OpenedRelay, *, slug: str, as_json: bool) -> None:
    """Print one server."""
    await relay.entry(slug)  # raises NoSuchInstance
    rows, _ = await look_at_all(relay)
    server = next(server_of(row) for row in rows if row.slug == slug)
    if as_json:
        print_json(server.model_dump())
        return
    details = [
        *zip(HEAD, _row(server), strict=True),
        ("GAME SERVER ID", server.link.game_server_id or "none yet"),
        ("TAKARO TOKEN", "yes" if server.has_registration_token else "none"),
    ]
    if server.note:
        details.append(("NOTE", server.note))
    print_rows(Rows(("", ""), details, show_head=False))


def _valid(kind: Any, value: str, what: str) -> str:
    """The value, if it is valid for the settings. Raises ConfigError."""
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        words = error.errors(include_input=False, include_context=False, include_url=False)[0]["msg"]
        raise ConfigError(f"{what}: {words.removeprefix('Value error, ')}") from None
    return value


def _secret(file: str | None, option: str) -> SecretStr | None:
    """Read a secret from a file, "-" for standard input: other users can see a command line."""
    if file is None:
        return None
    try:
        text = decoded(sys.stdin.buffer.read()) if file == "-" else read_text(Path(file))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{option}: {file} cannot be read: {reason}") from error
    return SecretStr(_valid(Token, text.strip(), option))


async def _equal_name(relay: OpenedRelay, slug: str) -> list[str]:
    return equal_name(slug, [entry.instance for entry in active(await relay.entries()).values()])


def _warn(warnings: list[str]) -> None:
    for warning in warnings:
        print(f"dayz-relay: warning: {warning}", file=sys.stderr)


def _identity(issued: Issued) -> str:
    return issued.record.identity_token.get_secret_value()


def _print_key(relay: OpenedRelay, issued: Issued) -> None:
    print(f"\nThe mod's {MOD_CONFIG_PATH} (the key is shown this once):\n")
    print(mod_config(mod_url(relay.settings.modapi), issued.mod_key))


def _row(server: Server) -> tuple[str, ...]:
    contact = server.mod.last_contact
    return (
        server.slug,
        server.name,
        "relay.toml" if server.origin == "relay.toml" else "Redis",
        "disabled" if server.disabled else "served" if server.served else "not served",
        str(len(server.mod_keys)),
        link_word(server.link.state),
        date(contact.timestamp() * 1000) if contact else "never",
        str(server.events_waiting),
        str(server.commands_waiting),
    )
