"""Where the admin API of a relay is, and the token for it.

The first of these that a person gives counts: --url, --context, --config or --data (the relay on this
machine), the context in use; without any of them the relay on this machine that relay.toml describes.
"""

import contextlib
import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from services.cli import contexts, local_token
from services.cli.terminal import COMMAND_VARIABLE, COMPOSE_UP
from services.relay.protocol.errors import ConfigError, StoreError
from services.relay.service.http.addresses import dialled_host, host_and_port, is_host
from services.relay.service.text_files import decoded, is_there, read_text, why_unreadable

if TYPE_CHECKING:
    from services.relay.service.settings import Settings
    from services.relay.store.client import Store

UP = "dayz-relay up"
MOD_PATH = "/k/"  # in the path of a mod's URL, which the log agent has in the variable of --url


@dataclass(frozen=True, slots=True)
class Given:
    """The relay as a command line and its variables name it. `is_local`: it has --config or --data."""

    config: Path
    data: Path
    url: str | None = None
    token: str | None = None
    token_file: str | None = None
    context: str | None = None
    is_local: bool = False


class ApiPlace(NamedTuple):
    """`url` without `/api/v1`. `said` and `fix` name where the token is from, "" if there is none."""

    url: str
    token: str
    said: str
    fix: str
    start: str = ""
    """The command that starts the relay; "" if it is elsewhere."""


async def find(given: Given, environ: Mapping[str, str] = os.environ) -> ApiPlace:
    """The relay that the command line means. Raises ConfigError, StoreError."""
    token, said = _given_token(given)
    url = given.url
    if url and url == environ.get("DAYZ_RELAY_URL") and MOD_PATH in url:
        url = None  # it is for the log agent on this machine
    if url:
        fix = "give --token-file, or DAYZ_RELAY_TOKEN" if not token else "is it that of this relay?"
        in_compose = COMMAND_VARIABLE in environ and url == environ.get("DAYZ_RELAY_URL")
        return ApiPlace(checked_url(url), token, said, fix, COMPOSE_UP if in_compose else "")
    if context := contexts.chosen(given.context, given.is_local):
        fix = f"`dayz-relay context add {context.name} --url {context.url} --token-file FILE` replaces it"
        said = said or f"that of the context {context.name}"
        return ApiPlace(context.url, token or context.token, said, fix)
    return await _here(given, token, said)


def checked_url(text: str) -> str:
    """The URL of an admin port. Raises ConfigError."""
    text = text.strip()
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise ConfigError(f"--url: {error}") from None
    if parts.scheme not in ("http", "https") or not is_host(parts.hostname or "") or not text.isprintable():
        raise ConfigError("--url: must be as http://127.0.0.1:9088, the admin port of modapi")
    if MOD_PATH in parts.path:
        raise ConfigError("--url: this is what mods call: give the admin port, as http://127.0.0.1:9088")
    if parts.username or parts.query or parts.fragment:
        raise ConfigError("--url: must have no name, password, ? or #: the token is given by itself")
    return text.rstrip("/").removesuffix("/api/v1")


def read_secret(file: str, option: str) -> str:
    """The secret in a file, "-" for standard input: others can see a command line. Raises ConfigError."""
    try:
        text = decoded(sys.stdin.buffer.read()) if file == "-" else read_text(Path(file))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{option}: {file} cannot be read: {why_unreadable(Path(file), error)}") from error
    return text.strip()


def checked_token(token: str, said: str) -> str:
    """The token, if it can be sent. Raises ConfigError."""
    if not token.isascii() or not token.isprintable():
        raise ConfigError(f"the token ({said}) has characters that no token has")
    return token


def _given_token(given: Given) -> tuple[str, str]:
    """The token, and where it is from."""
    if given.token:
        return given.token.strip(), "that of --token"
    if given.token_file and (token := read_secret(given.token_file, "--token-file")):
        return token, "that of standard input" if given.token_file == "-" else f"that in {given.token_file}"
    return "", ""


async def _here(given: Given, token: str, said: str) -> ApiPlace:
    """The relay on this machine, with the token that was given, of relay.toml, or of `up`."""
    from services.cli.settings_of import loaded_from  # pydantic takes 0.1 s to load

    settings = loaded_from(given.config).settings
    host, port = settings.modapi.admin_host, settings.modapi.admin_port
    if not port:  # any free one: modapi notes it in Redis
        from services.relay.service.http.admin_ports import noted

        async with opened_store(settings, given.data) as store:
            places = await noted(store, "modapi")
        if not places:
            raise StoreError("modapi does not run here: `dayz-relay up` starts it")
        host, port = places[0]
    url = f"http://{host_and_port(dialled_host(host), port)}"
    if token:
        return ApiPlace(url, token, said, "is it that of this relay?", UP)
    if admin_token := settings.modapi.admin_token:
        fix = "was it changed? Then restart the relay"
        return ApiPlace(url, admin_token.get_secret_value(), "admin_token of [modapi]", fix, UP)
    if local := local_token.read(given.data):
        return ApiPlace(url, local, f"that in {given.data / local_token.NAME}", "restart `dayz-relay up`", UP)
    fix = (
        "name the --data of `dayz-relay up`, which keeps one there, or set admin_token under [modapi]"
        " (`dayz-relay token new --kind admin` makes one) and restart the relay"
    )
    return ApiPlace(url, "", "", fix, UP)


@contextlib.asynccontextmanager
async def opened_store(settings: "Settings", data: Path) -> AsyncIterator["Store"]:
    """The store that the settings name, or that `up` keeps in `data`. Raises ConfigError if there is none."""
    from services.cli import own_store
    from services.relay.store.client import Store

    redis = settings.redis
    if redis.url is not None:
        url: str | None = redis.url.get_secret_value()
    else:
        url = own_store.url(data) if is_there(data) else None
    if url is None:
        raise ConfigError(
            f"--data {data}: no relay runs there: start `dayz-relay up`, name its --data, or set redis.url"
        )
    store = Store(url, replicas=redis.replicas, relaxed=redis.durability == "relaxed")
    try:
        yield store
    finally:
        await store.close()
