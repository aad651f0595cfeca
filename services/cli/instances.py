"""`dayz-relay instance …`: the same as the admin API, at a terminal. It works on Redis itself."""

import asyncio
import sys
from argparse import Namespace
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr, TypeAdapter, ValidationError

from services.cli.opened_relay import OpenedRelay, opened
from services.cli.tables import Rows, show
from services.cli.terminal import date, is_meant, print_json, runnable
from services.modapi.page.words import link_word
from services.relay.instances.entries import active
from services.relay.instances.mod_config import mod_config, mod_url
from services.relay.instances.overview import InstanceView, overview
from services.relay.instances.records import InstanceUpdate
from services.relay.instances.registry import Issued
from services.relay.protocol.errors import ConfigError
from services.relay.service.settings import Instance, Settings
from services.relay.service.settings_values import DisplayName, Slug, Token
from services.relay.service.settings_warnings import equal_name, guessable
from services.relay.service.text_files import decoded, read_text


def run(args: Namespace, settings: Settings) -> int:
    """Runs one of the commands; the exit code. Raises ConfigError, StoreError."""
    if args.action == "remove" and args.purge:
        if not is_meant(f"Delete all that is kept of {args.slug}, for good?", yes=args.yes):
            return 1
    return asyncio.run(_run(args, settings))


async def _run(args: Namespace, settings: Settings) -> int:
    command: Callable[[OpenedRelay, Namespace], Awaitable[None]] = _COMMANDS[args.action]
    async with opened(settings, args.data) as relay:
        await command(relay, args)
    return 0


async def _add(relay: OpenedRelay, args: Namespace) -> None:
    issued = await relay.registry.create(
        _valid(Slug, args.slug, "slug"),
        _valid(DisplayName, args.name, "--name"),
        identity_token=_secret(args.identity_token_file, "--identity-token-file"),
        registration_token=_secret(args.registration_token_file, "--registration-token-file"),
    )
    added = Instance(slug=args.slug, name=args.name, identity_token=issued.record.identity_token)
    warnings = [*filter(None, [guessable(added)]), *await _equal_name(relay, args.slug)]
    if args.json:
        secrets = {"mod_key": issued.mod_key, "identity_token": _identity(issued)}
        print_json({"slug": args.slug, **secrets, "warnings": warnings})
        return
    _warn(warnings)
    lacks = issued.record.registration_token is None and relay.settings.takaro.registration_token is None
    print(f'Server {args.slug} ("{args.name}") is added: running services serve it within two seconds.')
    if lacks:
        print(
            "It has no Takaro registration token: its events are kept until [takaro] in relay.toml has one."
        )
    _print_key(relay, issued)
    print("\nTakaro knows the server by this identity token. Keep it with your backups:\n")
    print(_identity(issued))


async def _list(relay: OpenedRelay, args: Namespace) -> None:
    entries = (await relay.entries()).values()
    views = await asyncio.gather(*(overview(relay.store, entry) for entry in entries))
    if args.json:
        print_json([view.model_dump() for view in views])
    elif not views:
        print(runnable("There is no instance yet: `dayz-relay instance add` adds one."))
    else:
        head = ("SLUG", "NAME", "FROM", "STATE", "KEYS", "TAKARO", "LAST CONTACT", "EVENTS", "COMMANDS")
        show(Rows(head, [_row(view) for view in views], flexible="NAME"))
        for view in views:
            if view.note:
                print(f"{view.slug}: {view.note}")


async def _rotate(relay: OpenedRelay, args: Namespace) -> None:
    issued = await relay.registry.rotate(args.slug, args.overlap_h * 3600, force=args.force)
    if args.json:
        print_json({"slug": args.slug, "mod_key": issued.mod_key})
        return
    if args.overlap_h:
        print(f"{args.slug} has a new mod key. The one before opens for {args.overlap_h:g} h more.")
    else:
        print(f"{args.slug} has a new mod key, the one before opens no longer.")
    _print_key(relay, issued)


async def _disable(relay: OpenedRelay, args: Namespace) -> None:
    await relay.registry.patch(args.slug, InstanceUpdate(disabled=True))
    print(f"{args.slug} is disabled: its keys open nothing, its link is closed, its events are kept.")


async def _enable(relay: OpenedRelay, args: Namespace) -> None:
    await relay.registry.patch(args.slug, InstanceUpdate(disabled=False))
    _warn(await _equal_name(relay, args.slug))
    print(f"{args.slug} is served again.")


async def _remove(relay: OpenedRelay, args: Namespace) -> None:
    await relay.registry.remove(args.slug, purge=args.purge)
    kept = "now" if args.purge else "in 24 hours; adding it again with the same identity token keeps it"
    print(f"{args.slug} is removed. Its data is deleted {kept}.")


_COMMANDS: dict[str, Callable[[OpenedRelay, Namespace], Awaitable[None]]] = {
    "add": _add,
    "list": _list,
    "rotate": _rotate,
    "disable": _disable,
    "enable": _enable,
    "remove": _remove,
}


def _valid(kind: Any, value: str, what: str) -> str:
    """A value that the settings would take too. Raises ConfigError."""
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        words = error.errors(include_input=False, include_context=False, include_url=False)[0]["msg"]
        raise ConfigError(f"{what}: {words.removeprefix('Value error, ')}") from None
    return value


def _secret(file: str | None, option: str) -> SecretStr | None:
    """A secret from a file, "-" for standard input: on the command line everybody here could see it."""
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
    print("\nThe mod's profiles/TakaroIntegration/config.json (the key is shown this once):\n")
    print(mod_config(mod_url(relay.settings.modapi), issued.mod_key))


def _row(view: InstanceView) -> tuple[str, ...]:
    return (
        view.slug,
        view.name,
        "relay.toml" if view.origin == "file" else "Redis",
        "disabled" if view.disabled else "served" if view.served else "not served",
        str(len(view.mod_keys)),
        link_word(view.link),
        _when(view.last_contact),
        str(view.events_waiting),
        str(view.commands_waiting),
    )


def _when(moment: datetime | None) -> str:
    return date(moment.timestamp() * 1000) if moment else "never"
